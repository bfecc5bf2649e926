"""One unit of work on the writing connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, TypeVar

import apsw

from ramet.changes.change import Kind, Position
from ramet.data.sqlite.failures import as_problem
from ramet.data.sqlite.report import Report
from ramet.data.statement import Statement
from ramet.data.store import Row, Rows
from ramet.errors import Problem

T = TypeVar("T")
LOG = "INSERT INTO ramet_changes (at, resource, record_id, kind, version, owner, record) VALUES (?, ?, ?, ?, ?, ?, ?)"


def given_up() -> Problem:
    """What is told when the engine has undone a whole transaction by itself."""
    return Problem("unavailable", "The transaction was given up.", retry_after=1)


class SqliteTransaction:
    """Runs statements inside the writer's current savepoint. `at` is its time in microseconds since 1970."""

    __slots__ = ("_connection", "_execute", "_incarnation", "_lost", "_report", "_seq", "at")

    def __init__(self, connection: apsw.Connection, incarnation: str, at: int, report: Report) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._incarnation = incarnation
        self._report = report
        self._seq = 0
        self._lost = False
        self.at = at

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        return self._run(statement.sql, statement.arguments(values))

    search = fetch

    async def run(self, statement: Statement, arguments: Row) -> None:
        self._run(statement.sql, arguments)

    async def log(
        self, resource: str, record_id: str, kind: Kind, version: int, owner: str | None, record: bytes | None
    ) -> None:
        self._run(LOG, (self.at, resource, record_id, kind, version, owner, record))
        self._seq = self._connection.last_insert_rowid()

    async def part(self, work: Callable[[], Awaitable[T]]) -> T:
        before = self._seq
        self._check()
        self._execute("SAVEPOINT part")
        try:
            result = await work()
        except BaseException:
            self._seq = before
            if self._connection.in_transaction:
                self._execute("ROLLBACK TO part")
                self._execute("RELEASE part")
            raise
        self._check()
        self._execute("RELEASE part")
        return result

    @property
    def position(self) -> Position | None:
        return Position(self._incarnation, self._seq) if self._seq else None

    def _run(self, sql: str, arguments: Row) -> Rows:
        self._check()
        started = perf_counter()
        try:
            rows = self._execute(sql, arguments).fetchall()
        except apsw.Error as error:
            self._lost = not self._connection.in_transaction
            raise as_problem(error) from error
        self._report(self._connection, sql, perf_counter() - started, len(rows))
        return rows

    def _check(self) -> None:
        """Once the engine has given the transaction up, each further statement would be committed by itself."""
        if self._lost:
            raise given_up()
