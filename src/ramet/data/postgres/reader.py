"""Reads: one round trip each, on whichever connection is free."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from ramet.data.postgres.pool import Pool
from ramet.data.postgres.report import Report, explain
from ramet.data.statement import Statement
from ramet.data.store import Rows


class Reader:
    """Reads on the primary."""

    def __init__(self, primary: Pool, report: Report) -> None:
        self._primary = primary
        self._report = report

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """All rows. Raises Problem `query_too_costly`, `overloaded` when no connection is free, and `unavailable`."""
        arguments = statement.arguments(values)
        started = perf_counter()
        rows = await self._primary.read(statement.sql, arguments)
        seconds = perf_counter() - started
        plan = await self._explain(statement.sql, arguments) if self._report.is_slow(seconds) else ""
        self._report(statement.sql, seconds, len(rows), plan)
        return rows

    async def _explain(self, sql: str, arguments: tuple[Any, ...]) -> str:
        link = await self._primary.take()
        try:
            return await explain(link.driver, sql, arguments)
        finally:
            self._primary.give(link)
