"""One unit of work on a connection of the primary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, TypeVar

from ramet.changes.change import Change, Kind, Position
from ramet.data.postgres.failures import as_problem, repeatable
from ramet.data.postgres.report import Report
from ramet.data.statement import Statement
from ramet.data.store import Row, Rows

T = TypeVar("T")
LOG = (
    "INSERT INTO ramet_changes (at, resource, record_id, kind, version, owner, record)"
    " VALUES ({}) RETURNING seq, xid::text::bigint"
)
_LOG = LOG.format("$1, $2, $3, $4, $5, $6, $7")


class PostgresTransaction:
    """Runs statements in an open transaction. `at` is its time in microseconds since 1970.

    `logged` are the rows it has added to the log; `again` says that others were in its way, so that it has to be run
    again, whatever becomes of it.
    """

    __slots__ = ("_driver", "_incarnation", "_report", "again", "at", "logged")

    def __init__(self, driver: Any, incarnation: str, at: int, report: Report) -> None:
        self._driver = driver
        self._incarnation = incarnation
        self._report = report
        self.at = at
        self.again = False
        self.logged: list[Change] = []

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        return await self._run(statement.sql, statement.arguments(values))

    async def search(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """Looks a second time where nothing is found, because the engine can miss who is in the way of the first look.

        A scan of a whole B-tree that never had an entry finds that out before it leaves its mark for others. Who adds
        one and commits in between is neither seen nor in the way of anybody (nbtree's `_bt_endpoint`; scans with a
        bound look again themselves since 15.4). By the second look the mark is there, and what was added is found.
        A rule that asks for other records may be read so too, whatever the list itself finds: a merge of two indexes.
        """
        arguments = statement.arguments(values)
        rows = await self._run(statement.sql, arguments)
        if not rows or (len(rows) == 1 and rows[0][0] == 0) or "(SELECT" in statement.sql:
            rows = await self._run(statement.sql, arguments)
        return rows

    async def run(self, statement: Statement, arguments: Row) -> None:
        await self._run(statement.sql, arguments)

    async def log(
        self, resource: str, record_id: str, kind: Kind, version: int, owner: str | None, record: bytes | None
    ) -> None:
        row = (self.at, resource, record_id, kind, version, owner, record)
        seq, xid = (await self._run(_LOG, row))[0]
        self.logged.append(Change(seq, *row, xid))

    async def part(self, work: Callable[[], Awaitable[T]]) -> T:
        before = len(self.logged)
        await self._run("SAVEPOINT part", ())
        try:
            result = await work()
        except Exception:
            del self.logged[before:]
            await self._run("ROLLBACK TO part", ())
            await self._run("RELEASE part", ())
            raise
        await self._run("RELEASE part", ())
        return result

    @property
    def position(self) -> Position | None:
        return Position(self._incarnation, self.logged[-1].xid) if self.logged else None

    async def _run(self, sql: str, arguments: Row) -> Rows:
        started = perf_counter()
        try:
            rows: Rows = await self._driver.fetch(sql, *arguments)
        except Exception as error:
            self.again = self.again or repeatable(error)
            raise as_problem(error) from error
        self._report(sql, perf_counter() - started, len(rows))
        return rows
