"""Reads with all their values, ready to be run and run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ramet.data.statement import Statement
from ramet.data.store import Rows
from ramet.operations.operation import Result

Fetch = Callable[[Statement, tuple[Any, ...]], Rows | None]
SKIPS = 64


class Known:
    """A shorter way to the same answer: `statement` gives ids and versions, `finish` what is kept of those records.

    `finish` gives None when something is not kept at its version; `keep` then makes the answer of the whole rows, and
    keeps them. Where that happens again and again, the way is tried less and less often.
    """

    __slots__ = ("_misses", "_skips", "arguments", "finish", "keep", "statement")

    def __init__(
        self,
        statement: Statement,
        arguments: tuple[Any, ...],
        finish: Callable[[Rows], Result | None],
        keep: Callable[[Rows], Result],
    ) -> None:
        self.statement = statement
        self.arguments = arguments
        self.finish = finish
        self.keep = keep
        self._misses = self._skips = 0

    def read(self, fetch: Fetch) -> Result | None:
        """The answer; None when the long way has to be gone."""
        if self._skips:
            self._skips -= 1
            return None
        rows = fetch(self.statement, self.arguments)
        result = None if rows is None else self.finish(rows)
        if result is None:
            self._misses += 1
            self._skips = min(SKIPS, self._misses - 1)
        else:
            self._misses = 0
        return result


class Bound(msgspec.Struct, frozen=True, gc=False):
    """A read as one statement with its values, by name and in order; `finish` makes the answer of its rows.

    `known` is for reads that are run again and again, at once.
    """

    statement: Statement
    values: dict[str, Any]
    arguments: tuple[Any, ...]
    finish: Callable[[Rows], Result]
    known: Known | None = None

    def read(self, fetch: Fetch) -> Result | None:
        """The answer; None when `fetch` cannot give the rows now. Raises Problem when there is no such record."""
        known = self.known
        result = None if known is None else known.read(fetch)
        if result is not None:
            return result
        rows = fetch(self.statement, self.arguments)
        if rows is None:
            return None
        return self.finish(rows) if known is None else known.keep(rows)
