"""An embedded database as the source of a move."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from ramet.data.fingerprint import FINGERPRINT, fingerprint
from ramet.data.migrations.failures import MoveError
from ramet.data.moving import Part, Row
from ramet.data.schema import Schema
from ramet.data.sqlite.bootstrap import read_fact, schema_statements
from ramet.data.sqlite.connection import database_path, open_connection
from ramet.data.sqlite.leadership import shut_out
from ramet.declare.catalog import Catalog
from ramet.errors import Unready

WAIT = 2_000
"""Milliseconds in which another process has to finish its commit."""


class FileSource:
    """See `ramet.data.moving.Source`. From the beginning nobody else may write, nor begin to serve the file."""

    def __init__(self, path: Path, schema: Schema, catalog: Catalog) -> None:
        self._path = path
        try:
            self._alone = shut_out(path)
        except Unready:
            raise MoveError(f"A server is running on {path.name}. Stop it, then run the command again.") from None
        self._connection = open_connection(path, writes=True)
        self._connection.set_busy_timeout(WAIT)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            self._connection.close()
            os.close(self._alone)
            raise MoveError(
                f"Another process is writing to {path.name}. Stop it, then run the command again."
            ) from None
        self._wanted = fingerprint(schema_statements(schema, catalog), catalog)

    @property
    def name(self) -> str:
        return read_fact(self._connection, "incarnation") or ""

    @property
    def head(self) -> int:
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'ramet_changes'").fetchone()
        return int(found[0]) if found else 0

    @property
    def fingerprint(self) -> str | None:
        """What is wrong with its schema."""
        if read_fact(self._connection, FINGERPRINT) == self._wanted:
            return None
        return (
            f"{self._path.name} does not have the declared schema. "
            f"Run `ramet migrate apply --database sqlite:///{self._path}` first."
        )

    def count(self, part: Part) -> int:
        counted: Any = self._connection.execute(f'SELECT count(*) FROM "{part.table}"').fetchone()
        return int(counted[0])

    def rows(self, part: Part, after: Any = None) -> Iterator[Row]:
        """Those with a key after the given one, in the order of their keys."""
        columns = ", ".join(f'"{name}"' for name in part.columns)
        beyond = "" if after is None else f' WHERE "{part.key}" > ?'
        sql = f'SELECT {columns} FROM "{part.table}"{beyond} ORDER BY "{part.key}"'
        try:
            yield from self._connection.execute(sql, () if after is None else (after,))
        except UnicodeDecodeError as error:
            raise MoveError(f"{part.table}: a text is not UTF-8 ({error}). Mend it in the source.") from error

    def pairs(self, table: str) -> dict[str, str]:
        rows = self._connection.execute(f'SELECT * FROM "{table}"').fetchall()
        return {str(key): str(value) for key, value in rows}

    def close(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()
        os.close(self._alone)


def open_source(url: str, schema: Schema, catalog: Catalog) -> FileSource:
    """The source at `url`. Raises MoveError when it is not there, or somebody uses it."""
    path = database_path(url)
    if not path.exists():
        raise MoveError(f"There is no file {path}.")
    return FileSource(path, schema, catalog)
