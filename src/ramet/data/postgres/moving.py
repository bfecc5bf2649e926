"""A PostgreSQL database as the target of a move."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from sqlalchemy.schema import AddConstraint, DropConstraint

from ramet.data.fingerprint import FINGERPRINT, MOVE, fingerprint
from ramet.data.migrations.failures import MoveError
from ramet.data.moving import BATCH_ROWS, Part, Progress, Row
from ramet.data.postgres.bootstrap import read_fact, reason, schema_statements, write_fact
from ramet.data.postgres.connection import address
from ramet.data.postgres.dbapi import LOCK, LOOK
from ramet.data.postgres.expressions import DIALECT
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog

LAST_STATEMENT = 10.0
"""Seconds in which a server comes to the end of a statement whose sender is gone, and notices that."""
_SHOWN = {
    "datetime": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    "date": "to_char({}, 'YYYY-MM-DD')",
    "decimal": "{}::text",
    "json": "{}::text",
}
"""Columns as `ramet.data.postgres.values` has them."""
_MEND = "Mend it in the source, then run the command with --again."


class ServerTarget:
    """See `ramet.data.moving.Target`. Keeps migrations and other moves out while it is open."""

    def __init__(self, url: str, schema: Schema, catalog: Catalog) -> None:
        try:
            self._connection = psycopg.connect(address(url), connect_timeout=10, autocommit=True)
        except psycopg.Error as error:
            raise MoveError(f"The target cannot be opened: {reason(error)}.") from error
        try:
            with _telling(), self._connection.transaction():  # in a server of a pooler nothing of this is left
                self._ask("SET LOCAL statement_timeout = 0")
                if self._ask("SELECT pg_backend_pid()")[0][0] != self._connection.info.backend_pid:
                    raise MoveError("A pooler stands before the target. Give the address of the server itself.")
                for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                    self._ask(f"SET {name} = 0")
            self._lock()
            # Whoever reads a copied row shall never find it gone because this machine lost its power.
            self._ask("SET synchronous_commit = on")
        except BaseException:
            self._connection.close()
            raise
        self._wanted = fingerprint(schema_statements(schema, catalog), catalog)
        self._tables = [table.name for table in schema.metadata.sorted_tables]
        self._references = [
            constraint
            for table in schema.metadata.sorted_tables
            for constraint in sorted(table.foreign_key_constraints, key=lambda one: str(one.name))
        ]

    def _lock(self) -> None:
        """Keeps others out. What a move that was killed has begun at the server may hold the lock for a moment."""
        deadline = time.monotonic() + LAST_STATEMENT
        while not self._ask(f"SELECT pg_try_advisory_lock({LOCK})")[0][0]:
            if time.monotonic() > deadline:
                raise MoveError("Another move or migration is under way in the target. Wait for its end.")
            time.sleep(LOOK)

    @property
    def fingerprint(self) -> str | None:
        """What is wrong with its schema."""
        if read_fact(self._connection, FINGERPRINT) == self._wanted:
            return None
        return (
            "The target does not have the declared schema. "
            "Run `ramet migrate apply --database URL` with its address first."
        )

    def progress(self) -> Progress | None:
        found = read_fact(self._connection, MOVE)
        return None if found is None else msgspec.json.decode(found, type=Progress)

    def filled(self, parts: Sequence[Part]) -> str:
        for part in parts:
            if self._ask(f'SELECT 1 FROM "{part.table}" LIMIT 1'):
                return part.table
        return ""

    def begin(self, progress: Progress, parts: Sequence[Part]) -> None:
        """References are taken away until the end: a row may come before the one that it refers to."""
        with _telling(), self._connection.transaction():
            names = ", ".join(f'"{part.table}"' for part in parts)
            self._ask(f"TRUNCATE {names}, ramet_followers")
            present = {name for (name,) in self._ask("SELECT conname FROM pg_constraint WHERE contype = 'f'")}
            for constraint in self._references:
                if constraint.name in present:
                    self._ask(_text(DropConstraint(constraint)))
            progress.began = str(self._ask("SELECT pg_current_snapshot()::text")[0][0])
            self._note(progress)

    def put(self, part: Part, rows: Iterable[Row], progress: Progress) -> None:
        columns = ", ".join(f'"{name}"' for name in part.columns)
        try:
            with self._connection.transaction():
                with self._connection.cursor().copy(f'COPY "{part.table}" ({columns}) FROM STDIN') as copying:
                    for row in rows:
                        copying.write_row(row)
                self._note(progress)
        except psycopg.errors.ProgramLimitExceeded as error:
            raise MoveError(
                f"{part.table}: a text is too long to be indexed there ({reason(error)}). {_MEND}"
            ) from error
        except (psycopg.DataError, psycopg.errors.UniqueViolation, psycopg.errors.UntranslatableCharacter) as error:
            raise MoveError(f"{part.table}: a value cannot be stored there ({reason(error)}). {_MEND}") from error
        except psycopg.Error as error:
            raise _ended(error) from error

    def rows(self, part: Part) -> Iterator[Row]:
        shown = ", ".join(_SHOWN.get(part.kinds.get(name, ""), "{}").format(f'"{name}"') for name in part.columns)
        with _telling(), self._connection.transaction(), self._connection.cursor("rows") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(f'SELECT {shown} FROM "{part.table}"')
            yield from cursor

    def finish(self, facts: Mapping[str, str], followers: Mapping[str, str], progress: Progress) -> None:
        """A durable follower goes on after the row it had come to: what was copied counts as one span of the log.

        What takes long comes before the end, so that a move which was cut off can go on.
        """
        with _telling():
            self._ask("ANALYZE")
        with _telling(), self._connection.transaction():
            for constraint in self._references:
                self._ask(_text(AddConstraint(constraint)))
            for table, column in self._numbered():
                last = f'SELECT max("{column}") FROM "{table}"'
                if table == "ramet_changes":
                    last = f"SELECT greatest(({last}), NULLIF({progress.head}, 0))"
                self._ask(f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), n) FROM ({last}) AS l(n)")
            now = str(self._ask("SELECT pg_current_snapshot()::text")[0][0])
            for name, seq in followers.items():
                place = f"{progress.began} {now} {int(seq)}"
                self._ask("INSERT INTO ramet_followers (name, position) VALUES (%s, %s)", (name, place))
            for name, value in facts.items():
                write_fact(self._connection, name, value)
            self._ask("DELETE FROM ramet_facts WHERE name = %s", (MOVE,))

    def close(self) -> None:
        self._connection.close()

    def _numbered(self) -> list[tuple[str, str]]:
        """Columns whose numbers the database gives out."""
        return self._ask(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema ="
            " current_schema() AND table_name = ANY (%s)"
            " AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL",
            (self._tables,),
        )

    def _note(self, progress: Progress) -> None:
        write_fact(self._connection, MOVE, msgspec.json.encode(progress).decode())

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        cursor = self._connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


def open_target(url: str, schema: Schema, catalog: Catalog) -> ServerTarget:
    """The target at `url`. Raises MoveError when it cannot be used."""
    return ServerTarget(url, schema, catalog)


@contextmanager
def _telling() -> Iterator[None]:
    """Raises MoveError for what the server says."""
    try:
        yield
    except psycopg.Error as error:
        raise _ended(error) from error


def _ended(error: psycopg.Error) -> MoveError:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return MoveError(
            f"The role may not do what a move does ({reason(error)}). Give the address with the owner of the tables."
        )
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return MoveError(f"A reference leads to a record that is not there ({reason(error)}). {_MEND}")
    return MoveError(f"The target has ended the move ({reason(error)}). Run the command again: it goes on from there.")


def _text(statement: AddConstraint | DropConstraint) -> str:
    return str(statement.compile(dialect=DIALECT))
