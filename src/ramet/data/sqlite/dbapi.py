"""apsw as SQLAlchemy's driver, for migrations only: they reflect tables and run Alembic's operations.

The standard library's sqlite3 could do this too, but it brings a SQLite of its own, with whichever bugs it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.batch import ApplyBatchImpl
from sqlalchemy import Connection, Table, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from ramet.data.fingerprint import LOCK_SECONDS
from ramet.data.migrations.failures import MigrationError
from ramet.data.sqlite.connection import database_path, open_connection

T = TypeVar("T")
_DROPPED = re.compile(r"""\s*ALTER\s+TABLE\s+["'`\[]?(\w+)\W+DROP\s+(?:COLUMN\s+)?["'`\[]?(\w+)""", re.IGNORECASE)
_INDEXES = """\
SELECT DISTINCT i.name FROM pragma_index_list(?1) AS i, pragma_index_info(i.name) AS c
WHERE i.origin = 'c' AND lower(c.name) = lower(?2)"""


class IndexesImpl(SQLiteImpl):
    """Alembic's operations; an index goes when one of its columns does, as on servers."""

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """A table that takes the place of another is given the indexes that its columns allow."""
        for index in table.indexes:
            if not batch_impl.columns.keys() >= set(index.columns.keys()):
                batch_impl.indexes.pop(str(index.name), None)


@contextmanager
def migration_connection(url: str, *, lock: bool, keep: bool) -> Iterator[tuple[Connection, apsw.Connection]]:
    """The file as SQLAlchemy and as the driver see it, in one transaction; `lock` takes the write lock at its start.

    References are not enforced, so that tables can be replaced. What was done is undone at the end unless `keep`, and
    when something is raised. Waits while another process holds the lock; raises MigrationError after LOCK_SECONDS.
    """
    driver = open_connection(database_path(url), writes=True)
    driver.set_busy_timeout(LOCK_SECONDS * 1000)
    driver.pragma("foreign_keys", False)
    begin = "BEGIN IMMEDIATE" if lock else "BEGIN"
    engine = create_engine("sqlite+apsw://", creator=lambda: _Connection(driver, begin), poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            transaction = connection.begin()
            yield connection, driver
            if keep:
                transaction.commit()
            else:
                transaction.rollback()
    except DBAPIError as error:
        if not isinstance(error.orig, apsw.BusyError):
            raise
        raise MigrationError("Another process has been writing to the database for too long.") from error
    finally:
        engine.dispose()
        driver.close()


@contextmanager
def alone(url: str) -> Iterator[Callable[[], None]]:
    """Keeps other migrations out. Here the write lock of the one transaction does it."""
    yield lambda: None


def patiently(url: str, work: Callable[[], T], outcome: str = "") -> T:
    """Does `work`. Nobody can be in the way of it: whoever writes is waited for at its start."""
    return work()


def held_up(error: Exception) -> bool:
    """Whether `patiently` tries again after this."""
    return False


def reason(error: Exception) -> str:
    """What went wrong in a migration, without SQLAlchemy's words around it; other errors with their name."""
    if isinstance(error, DBAPIError):
        return str(error.orig)
    return str(error) if isinstance(error, apsw.Error | SQLAlchemyError) else f"{type(error).__name__}: {error}"


class _Cursor:
    """One statement and its rows, all of which are read at once: schemas are small."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._cursor = connection.cursor()
        self._cursor.exec_trace = self._describe
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.arraysize = 1
        self.rowcount = -1
        self.lastrowid = 0

    def _describe(self, cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        self.description = cursor.get_description() or None
        return True

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self.description = None
        if dropped := _DROPPED.match(sql):
            self._drop_indexes(dropped[1], dropped[2])
        self._rows = list(self._cursor.execute(sql, tuple(parameters)))[::-1]
        self.rowcount = self._connection.changes()
        self.lastrowid = self._connection.last_insert_rowid()

    def _drop_indexes(self, table: str, column: str) -> None:
        """Those of a column that is dropped by itself, which SQLite refuses while it has any."""
        for (name,) in self._connection.execute(_INDEXES, (table, column)).fetchall():
            self._connection.execute(f'DROP INDEX "{name}"')

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        self.description = None
        self._cursor.executemany(sql, [tuple(one) for one in parameters])

    def fetchone(self) -> Any:
        return self._rows.pop() if self._rows else None

    def fetchmany(self, size: int = 1) -> list[Any]:
        return [self._rows.pop() for _ in range(min(size, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows[::-1], []
        return rows

    def close(self) -> None:
        self._cursor.close()


class _Connection:
    """The methods of PEP 249 that SQLAlchemy calls."""

    def __init__(self, connection: apsw.Connection, begin: str) -> None:
        self._connection = connection
        self._begin = begin

    def cursor(self) -> _Cursor:
        return _Cursor(self._connection)

    def begin(self) -> None:
        self._connection.execute(self._begin)

    def commit(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """The connection belongs to whoever opened it."""


class _Driver:
    """What SQLAlchemy asks of a driver's module."""

    paramstyle = "qmark"
    sqlite_version_info = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    Error = apsw.Error


class ApswDialect(SQLiteDialect):
    """SQLite by way of apsw."""

    driver = "apsw"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        return _Driver

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        return _Driver.sqlite_version_info

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.begin()

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return False


registry.register("sqlite.apsw", __name__, "ApswDialect")
