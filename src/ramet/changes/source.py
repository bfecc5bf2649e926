"""The port to a log for those who keep their own place in it, in the database or with a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ramet.changes.change import Change

Holds = Callable[[int, int], bool]
"""Whether a follower at some place has seen a row, by its `seq` and `xid`."""


class Place(Protocol):
    """A stretch of the log, which names its rows."""

    def mark(self, seq: int) -> str:
        """The place of a follower that has come to row `seq`, as text for clients, who only ever give it back."""


class Missed(NamedTuple):
    """Rows that a follower has not seen, and the stretch they are of.

    `end` is the mark after them, and `holds` tells what a follower there has seen. With `more` there are others beyond.
    """

    changes: Sequence[Change]
    place: Place
    end: str
    holds: Holds
    more: bool


class Touched(NamedTuple):
    """One change, as far as caches care. `xid` is its transaction."""

    resource: str
    record_id: str
    owner: str | None
    xid: int


class ChangeSource(Protocol):
    """Where a log is read. An engine supplies it."""

    async def page(self, bookmark: str, limit: int) -> tuple[Sequence[Change], str]:
        """The next rows after a bookmark, at most `limit`, and the bookmark after them; an empty one is the start.

        No row is left out, also if its transaction ended after those of later rows, and none comes twice.
        """

    async def replay(self, mark: str, limit: int) -> Missed | None:
        """The next rows that a follower at `mark` has not seen: at most `limit`, not counting those of kind `before`.

        None when that can't be told: the mark is not of this log, or rows beyond it may have been trimmed.
        """
