"""Reads: one round trip each, on whichever connection is free."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from ramet.data.postgres.outage import Outage
from ramet.data.postgres.pool import Pool
from ramet.data.postgres.replicas import Replica, Replicas
from ramet.data.postgres.report import Report
from ramet.data.statement import Statement
from ramet.data.store import Rows
from ramet.errors import Problem

PLAN_SECONDS = 1.0
"""Seconds in which the plan of a slow read must come."""


class Reader:
    """Reads on the primary, and where that is as good on a replica."""

    def __init__(self, primary: Pool, replicas: Replicas, outage: Outage, report: Report) -> None:
        self._primary = primary
        self._replicas = replicas
        self._outage = outage
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

    async def read(self, statement: Statement, values: Mapping[str, Any], xid: int | None, *, keeps: bool) -> Rows:
        """As `fetch`, also from a replica: one that has come to the transaction `xid`, if one is given.

        With `keeps` the answer will be kept, so the replica must hold all that this process's copies hold.
        """
        replica = self._replicas.choose(keeps=keeps)
        if replica is not None:
            rows = await self._ask(replica, statement, values, xid)
            if rows is not None:
                return rows
        elif keeps:
            self.spare()
        return await self.fetch(statement, values)

    def spare(self) -> None:
        """Raises Problem at once when the primary does not answer and a replica within the bound does."""
        if self._outage.quiet and self._replicas.choose(keeps=False) is not None:
            raise Problem("unavailable", "The database does not answer.", retry_after=1)

    async def copy(self, statement: Statement, values: Mapping[str, Any], xid: int | None) -> Rows | None:
        """From a replica within the bound that has come to `xid`, if one is given; None when there is none."""
        replica = self._replicas.choose(keeps=False)
        return None if replica is None else await self._ask(replica, statement, values, xid)

    async def _ask(
        self, replica: Replica, statement: Statement, values: Mapping[str, Any], xid: int | None
    ) -> Rows | None:
        arguments = statement.arguments(values)
        started = perf_counter()
        rows = await self._replicas.read(replica, statement.sql, arguments, xid)
        if rows is not None:
            self._report(statement.sql, perf_counter() - started, len(rows))
        return rows

    async def _explain(self, sql: str, arguments: tuple[Any, ...]) -> str:
        """The plan, or why there is none: the read itself has its answer, for which somebody waits."""
        await asyncio.sleep(0)  # who waits for the connection that was used comes first
        if not self._primary.idle:
            return "no plan: every connection to the database is in use"
        try:
            async with asyncio.timeout(PLAN_SECONDS):
                rows = await self._primary.read(f"EXPLAIN {sql}", arguments, again=False)
        except Exception as error:
            return f"no plan: {str(error) or type(error).__name__}"
        return "\n".join(str(row[0]) for row in rows)
