"""Following a log whose rows are numbered in the order of commits and read where they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from ramet.changes.change import Change, Position
from ramet.changes.feed import Feed

BATCH = 1_000
EAGER = 0.01
"""Seconds between two looks at the log while somebody waits for what it tells."""


class OrderedLog(Protocol):
    """Where such a log is read."""

    def moved(self) -> bool:
        """Whether anything may have been committed since the last call. Cheap: asked before every cached answer."""

    def after(self, seq: int, limit: int) -> Sequence[Change]:
        """The rows beyond `seq` in commit order, at most `limit`."""

    def head(self) -> int:
        """The newest committed place, also when its row has been trimmed."""

    def mark(self, seq: int) -> str:
        """As in `ramet.changes.source`: every row names itself."""

    def since(self, at: int, resources: Sequence[str]) -> Iterator[Change]:
        """The rows of some resources from `at` (microseconds since 1970) on, in commit order."""


class OrderedFeed(Feed):
    """Exact: what `sync` has said holds as of its call."""

    exact = True

    def __init__(self, log: OrderedLog, incarnation: str = "") -> None:
        super().__init__(incarnation)
        self._log = self.place = log
        self._behind = False

    async def start(self) -> None:
        self._log.moved()
        self.seq = self._log.head()
        self._replay()

    def sync(self) -> bool:
        """Applies what is new. True: every copy in this process is exact as of this call; False: use none."""
        try:
            if self._log.moved() or self._behind:
                self._behind = True
                self._catch_up()
                self._behind = False
        except Exception:
            self._behind = True
            return False
        return True

    async def catch_up(self) -> None:
        self.sync()

    @property
    def mark(self) -> str:
        return self._log.mark(self.seq)

    def holds(self, position: Position) -> bool:
        return position.seq <= self.seq

    async def keep_up(self, interval: float) -> None:
        while True:
            await asyncio.sleep(min(interval, EAGER) if self.eager else interval)
            self.sync()

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
        for subscriber in self.subscribers:
            subscriber.applies(changes)
        self.seq = changes[-1].seq

    def _catch_up(self) -> None:
        head = 0
        while True:
            changes = self._log.after(self.seq, BATCH)
            if changes:
                if changes[0].seq != self.seq + 1:
                    self._restart(changes[0].seq - 1)
                self._apply(changes)
                if len(changes) < BATCH:
                    return
            elif head > self.seq:
                self._restart(head)  # it was there already before this look, so it has been trimmed
                return
            else:
                # Either nothing was logged, or all of it has been trimmed, or it is committed just now.
                head = self._log.head()
                if head <= self.seq:
                    return

    def _restart(self, seq: int) -> None:
        """Rows were trimmed before they were read: every copy is made anew, and reading goes on after `seq`."""
        for subscriber in self.subscribers:
            subscriber.reset()
        self._replay()
        self.seq = seq

    def _replay(self) -> None:
        for applies, _, recent, _ in self.subscribers:
            if recent is not None:
                for change in self._log.since(recent.since(), recent.resources):
                    applies((change,))
