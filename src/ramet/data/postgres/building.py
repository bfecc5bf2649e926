"""Making indexes of tables that are in use: outside transactions, one after the other, while others read and write.

Each is made under a name that says what it is to be, and takes its own name when it is complete. What was cut off is
thus known, whether complete (it is kept) or not (it is made anew), and what it takes the place of serves until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg

from ramet.data.migrations.failures import MigrationError
from ramet.data.postgres.connection import address
from ramet.data.postgres.dbapi import OPTIONS, bound, held_up, in_the_way, patiently, reason

PATIENCE = 600
"""Seconds that the making of an index waits for one transaction of others. Nobody waits behind it."""
NOTICE = 2
"""Seconds after which a server stops making an index for somebody who was killed."""
_VALID = """\
SELECT x.indisvalid FROM pg_class i JOIN pg_index x ON x.indexrelid = i.oid
WHERE i.relname = %s AND i.relnamespace = current_schema()::regnamespace"""
_GOES_ON = "Run `ramet migrate apply` again: it goes on from there."
_STANDS = "What was done until then stands."


class Wanted:
    """An index as it is to be. `start` and `rest` are the statement that makes it, before and after its name."""

    def __init__(self, name: str, table: str, mark: str, start: str, rest: str) -> None:
        self.name, self.table, self.mark = name, table, mark
        self.statement = f"{start} {name} {rest}"
        self.temporary = f"ix_{mark}_building"
        self.concurrent = f"{start} CONCURRENTLY {self.temporary} {rest}"


def build(
    url: str, wanted: Mapping[str, Wanted], marks: Callable[[Any], dict[str, str]], held: Callable[[], None]
) -> Iterator[str]:
    """Makes what is wanted, then drops what is not; a sentence for each when it is done.

    `marks` gives the mark of each index by its name, and `held` raises when another migration may have begun. Raises
    MigrationError when an index cannot be made.
    """
    with closing(psycopg.connect(address(url), autocommit=True, **OPTIONS)) as connection:
        _settle(connection)
        present = marks(connection)
        for index in wanted.values():
            if present.get(index.name) != index.mark:
                held()
                _make(connection, url, index)
                patiently(url, lambda index=index: _adopt(connection, index), _STANDS)  # type: ignore[misc]  # bound now
                if index.name not in present:
                    yield f"index {index.name} is made"
        for name in marks(connection):
            if name not in wanted:
                held()
                _drop(connection, url, name)
                if not name.endswith("_building"):
                    yield f"index {name} is dropped"


def _settle(connection: Any) -> None:
    """Bounds waiting alone: an index of a big table takes its time. Not where a pooler gives connections to others."""
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    if pid == connection.info.backend_pid:
        connection.execute("SET statement_timeout = 0")
        connection.execute(f"SET lock_timeout = {int(PATIENCE * 1000)}")
        connection.execute(f"SET client_connection_check_interval = {NOTICE * 1000}")


def _make(connection: Any, url: str, index: Wanted) -> None:
    """Under its temporary name, unless it is there."""
    found = connection.execute(_VALID, (index.temporary,)).fetchone()
    if found == (True,):
        return
    try:
        if found is not None:
            with connection.transaction():  # the server may not have noticed yet that who makes it was killed
                connection.execute(f"LOCK TABLE {index.table} IN SHARE UPDATE EXCLUSIVE MODE")
            if connection.execute(_VALID, (index.temporary,)).fetchone() == (True,):
                return
            _drop(connection, url, index.temporary)
        connection.execute(index.concurrent)
    except psycopg.Error as error:
        why = _why(error, url)
        if connection.broken:
            raise MigrationError(f"The index {index.name} was not made: {why} {_GOES_ON}") from error
        _drop(connection, url, index.temporary)  # incomplete it would cost each change, and refuse what is not unique
        raise MigrationError(
            f"The index {index.name} could not be made: {why} The tables are changed, and what was done until then "
            f"stands. Mend this. {_GOES_ON}"
        ) from error


def _adopt(connection: Any, index: Wanted) -> None:
    """It takes its name, and the place of what had it."""
    with connection.transaction():
        bound(connection)
        connection.execute(f'DROP INDEX IF EXISTS "{index.name}"')
        connection.execute(f'ALTER INDEX "{index.temporary}" RENAME TO "{index.name}"')
        connection.execute(f"COMMENT ON INDEX \"{index.name}\" IS '{index.mark}'")


def _drop(connection: Any, url: str, name: str) -> None:
    try:
        connection.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
    except psycopg.Error as error:
        raise MigrationError(f"The index {name} could not be dropped: {_why(error, url)} {_GOES_ON}") from error


def _why(error: psycopg.Error, url: str) -> str:
    return in_the_way(url) if held_up(error) else reason(error).rstrip(".") + "."
