"""One unit of work on the writing connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw

from ramet.changes.change import Kind, Position
from ramet.data.sqlite.failures import as_problem
from ramet.data.statement import Statement
from ramet.data.store import Row, Rows

_LOG = (
    "INSERT INTO ramet_changes (at, resource, record_id, kind, version, owner, record) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class SqliteTransaction:
    """Runs statements inside the writer's current savepoint. `at` is its time in microseconds since 1970."""

    __slots__ = ("_connection", "_execute", "_incarnation", "_seq", "at")

    def __init__(self, connection: apsw.Connection, incarnation: str, at: int) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._incarnation = incarnation
        self._seq = 0
        self.at = at

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        try:
            return self._execute(statement.sql, statement.arguments(values)).fetchall()
        except apsw.Error as error:
            raise as_problem(error) from error

    async def run(self, statement: Statement, arguments: Row) -> None:
        try:
            self._execute(statement.sql, arguments)
        except apsw.Error as error:
            raise as_problem(error) from error

    async def log(
        self, resource: str, record_id: str, kind: Kind, version: int, owner: str | None, record: bytes | None
    ) -> None:
        try:
            self._execute(_LOG, (self.at, resource, record_id, kind, version, owner, record))
        except apsw.Error as error:
            raise as_problem(error) from error
        self._seq = self._connection.last_insert_rowid()

    @property
    def position(self) -> Position | None:
        return Position(self._incarnation, self._seq) if self._seq else None
