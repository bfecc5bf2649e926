"""The follower of the log in one process: hands what is new to whoever holds a copy. Each kind of log has its own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from ramet.changes.change import Change, Position, parse_position
from ramet.changes.source import Place

Applies = Callable[[Sequence[Change]], None]


class Recent(NamedTuple):
    """Rows of some resources from `since()` (microseconds since 1970) on, which a copy is made anew from."""

    since: Callable[[], int]
    resources: Sequence[str]


class Subscriber(NamedTuple):
    """Whoever holds a copy: see `Feed.subscribe`."""

    applies: Applies
    reset: Callable[[], None]
    recent: Recent | None
    confirmed: bool


class Feed(ABC):
    """Keeps this process's copies at the head of the log of `incarnation`. `seq` tells how far they have come.

    `place` names the rows that are being given to subscribers. `eager` asks to look more often where looking is how
    changes are noticed: somebody waits for what the log tells.
    """

    exact: ClassVar[bool]
    """Whether copies hold everything that was committed before a true `sync`."""

    place: Place

    def __init__(self, incarnation: str = "") -> None:
        self.incarnation = incarnation
        self.subscribers: list[Subscriber] = []
        self._task: asyncio.Task[None] | None = None
        self.seq = 0
        self.eager = False

    def subscribe(
        self,
        applies: Applies,
        reset: Callable[[], None] = lambda: None,
        recent: Recent | None = None,
        *,
        confirmed: bool = False,
    ) -> None:
        """Adds a follower: called with every change after this moment; those of one record come in their order.

        `reset` is called instead when rows were missed: the copy must be made anew. `recent` rows are then given
        again, and at `start` given first. With `confirmed` it is given what has been read from the log only, where
        `place` can name it; others may be given this process's own changes sooner.
        """
        self.subscribers.append(Subscriber(applies, reset, recent, confirmed))

    @abstractmethod
    async def start(self) -> None:
        """Begins at the head: nothing is held yet that an older change could make stale."""

    @abstractmethod
    def sync(self) -> bool:
        """Whether copies in this process may be used. Costs no more than a look into memory when nothing is new."""

    @abstractmethod
    async def catch_up(self) -> None:
        """Gives subscribers everything that is committed by now. May raise what reading the log raises."""

    def reached(self, position: str) -> bool:
        """Whether copies hold what was written at `position`, given by a client after a true `sync`."""
        found = parse_position(position)
        return found is not None and found.incarnation == self.incarnation and self.holds(found)

    @abstractmethod
    def holds(self, position: Position) -> bool:
        """Whether copies have come to a place in this log."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """How far confirmed subscribers have come, as text for clients."""

    def follow(self, interval: float) -> None:
        """Also looks every `interval` seconds while no request does; needs a running event loop."""
        self._task = asyncio.create_task(self.keep_up(interval), name="follow the change log")

    @abstractmethod
    async def keep_up(self, interval: float) -> None:
        """What `follow` does until it is stopped."""

    async def stop(self) -> None:
        """Ends `follow`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def deliver(self, changes: Sequence[Change], *, confirmed: bool) -> None:
        """Gives changes to the subscribers of one kind."""
        for subscriber in self.subscribers:
            if subscriber.confirmed == confirmed:
                subscriber.applies(changes)
