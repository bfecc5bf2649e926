"""The follower of the log in one process: reads what is new and hands it, in order, to whoever holds a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ramet.changes.change import Change

BATCH = 1_000
EAGER = 0.01
"""Seconds between two looks at the log while somebody waits for what it tells."""
Applies = Callable[[Sequence[Change]], None]


class ChangeSource(Protocol):
    """Where the log is read. An engine supplies it."""

    def moved(self) -> bool:
        """Whether anything may have been committed since the last call. Cheap: asked before every cached answer."""

    def after(self, seq: int, limit: int) -> Sequence[Change]:
        """The rows beyond `seq` in commit order, at most `limit`."""

    def head(self) -> int:
        """The newest committed place, also when its row has been trimmed."""

    def mark(self, seq: int) -> str:
        """The place of a follower that has come to `seq`, as text for clients, who only ever give it back."""

    async def replay(self, mark: str, limit: int) -> Sequence[Change] | None:
        """The first rows, at most `limit`, that a follower at `mark` has not seen.

        None when that can't be told: the mark is not of this log, or rows beyond it have been trimmed.
        """

    def since(self, at: int, resources: Sequence[str]) -> Iterator[Change]:
        """The rows of some resources from `at` (microseconds since 1970) on, in commit order. For use at start."""


class Feed:
    """Keeps this process's copies at the head of the log. `seq` is how far they have come.

    `eager` makes it look more often: somebody waits for what the log tells.
    """

    def __init__(self, source: ChangeSource) -> None:
        self._source = source
        self._subscribers: list[tuple[Applies, Callable[[], None]]] = []
        self._behind = False
        self._task: asyncio.Task[None] | None = None
        self.seq = 0
        self.eager = False

    def subscribe(self, applies: Applies, reset: Callable[[], None] = lambda: None) -> None:
        """Adds a follower: called with every change after this moment, in commit order.

        `reset` is called instead when rows were trimmed before they were read: the copy must be made anew.
        """
        self._subscribers.append((applies, reset))

    def start(self) -> None:
        """Begins at the head: nothing is held yet that an older change could make stale."""
        self._source.moved()
        self.seq = self._source.head()

    @property
    def mark(self) -> str:
        """How far this process's copies have come, as text for clients."""
        return self._source.mark(self.seq)

    def follow(self, interval: float) -> None:
        """Also looks every `interval` seconds while no request does; needs a running event loop."""
        self._task = asyncio.create_task(self._follow(interval), name="follow the change log")

    async def stop(self) -> None:
        """Ends `follow`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def sync(self) -> bool:
        """Applies what is new. True: every copy in this process is exact as of this call; False: use none."""
        try:
            if self._source.moved() or self._behind:
                self._behind = True
                self._catch_up()
                self._behind = False
        except Exception:
            self._behind = True
            return False
        return True

    def committed(self, changes: Sequence[Change]) -> None:
        """Applies what this process has just committed, `changes`, if nothing else came in between; then the rest.

        Without `changes`, or when others' come first, everything is read.
        """
        if changes and changes[0].seq == self.seq + 1 and not self._behind:
            try:
                self._apply(changes)
            except Exception:
                self._behind = True
        self.sync()

    def _apply(self, changes: Sequence[Change]) -> None:
        for applies, _ in self._subscribers:
            applies(changes)
        self.seq = changes[-1].seq

    def _catch_up(self) -> None:
        while changes := self._source.after(self.seq, BATCH):
            if changes[0].seq != self.seq + 1:
                self._reset(changes[0].seq - 1)
            self._apply(changes)
            if len(changes) < BATCH:
                return
        # Nothing to read: either nothing was logged, or all of it has been trimmed already.
        head = self._source.head()
        if head > self.seq:
            self._reset(head)

    def _reset(self, seq: int) -> None:
        """Rows were trimmed before they were read: every copy is made anew, and reading goes on after `seq`."""
        for _, reset in self._subscribers:
            reset()
        self.seq = seq

    async def _follow(self, interval: float) -> None:
        while True:
            await asyncio.sleep(min(interval, EAGER) if self.eager else interval)
            self.sync()
