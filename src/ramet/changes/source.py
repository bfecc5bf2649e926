"""The port to a log for those who keep their own place in it in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ramet.changes.change import Change


class ChangeSource(Protocol):
    """Where a log is read. An engine supplies it."""

    async def page(self, bookmark: str, limit: int) -> tuple[Sequence[Change], str]:
        """The next rows after a bookmark, at most `limit`, and the bookmark after them; an empty one is the start.

        No row is left out, also if its transaction ended after those of later rows, and none comes twice.
        """
