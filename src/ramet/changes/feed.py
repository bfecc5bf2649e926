"""The follower of the log in one process: reads what is new and hands it, in order, to whoever holds a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ramet.changes.change import Change

BATCH = 1_000
Applies = Callable[[Sequence[Change]], None]


class ChangeSource(Protocol):
    """Where the log is read. An engine supplies it."""

    def moved(self) -> bool:
        """Whether anything may have been committed since the last call. Cheap: asked before every cached answer."""

    def after(self, seq: int, limit: int) -> Sequence[Change]:
        """The rows beyond `seq` in commit order, at most `limit`."""

    def head(self) -> int:
        """The newest committed place, also when its row has been trimmed."""


class Feed:
    """Keeps this process's copies at the head of the log. `seq` is how far they have come."""

    def __init__(self, source: ChangeSource) -> None:
        self._source = source
        self._subscribers: list[Applies] = []
        self.seq = 0

    def subscribe(self, applies: Applies) -> None:
        """Adds a follower; it is called with every change after this moment, in commit order."""
        self._subscribers.append(applies)

    def start(self) -> None:
        """Begins at the head: nothing is held yet that an older change could make stale."""
        self._source.moved()
        self.seq = self._source.head()

    def sync(self) -> bool:
        """Applies what is new. True: every copy in this process is exact as of this call."""
        if self._source.moved():
            self.catch_up()
        return True

    def catch_up(self) -> None:
        """Reads and applies everything after `seq`."""
        while changes := self._source.after(self.seq, BATCH):
            for applies in self._subscribers:
                applies(changes)
            self.seq = changes[-1].seq
            if len(changes) < BATCH:
                return
