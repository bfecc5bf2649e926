"""Whether a database file has the schema of a declaration; making it in a file that is new.

Light: this runs at each start. What changes an existing schema is `ramet.data.migrations`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from ramet.data.fingerprint import FINGERPRINT, KINDS, LOCK_SECONDS, REVISIONS, fingerprint
from ramet.data.kinds import column_kinds
from ramet.data.schema import Schema
from ramet.data.sqlite.connection import database_path, open_connection, unusable
from ramet.data.sqlite.ddl import create_statements, search_statements, version_statement
from ramet.declare.catalog import Catalog
from ramet.errors import SettingsError


def schema_statements(schema: Schema, catalog: Catalog) -> Iterator[str]:
    """Everything that makes the schema, in order."""
    yield from create_statements(schema.metadata)
    for info in catalog:
        yield version_statement(info)
        yield from search_statements(info)


def record_schema(connection: apsw.Connection, wanted: str, catalog: Catalog) -> None:
    """Notes that the database now has the schema of this fingerprint."""
    write_fact(connection, FINGERPRINT, wanted)
    write_fact(connection, KINDS, msgspec.json.encode(column_kinds(catalog)).decode())
    # A place in the log without a row: whoever follows it makes anew what it holds of a database changed underneath.
    connection.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'ramet_changes'")


def ensure_schema(url: str, schema: Schema, catalog: Catalog, revision: str = "") -> bool:
    """Make the schema if the file is new or empty; whether the file then has this very schema.

    `revision` is the application's newest, which the file must have too; a new file has it from the start.
    Raises SettingsError when the file cannot be used.
    """
    path = database_path(url)
    statements = list(schema_statements(schema, catalog))
    wanted = fingerprint(statements, catalog)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"RAMET_DATABASE_URL: {path.parent} cannot be made: {error.strerror}.") from error
    _make_private(path)
    connection = open_connection(path, writes=True)
    try:
        connection.set_busy_timeout(LOCK_SECONDS * 1000)
        if read_fact(connection, FINGERPRINT) is None:
            connection.execute("BEGIN IMMEDIATE")
            _create(connection, statements, revision)
            if read_fact(connection, FINGERPRINT) is None and _is_verbatim(connection, statements):
                record_schema(connection, wanted, catalog)
            connection.execute("COMMIT")
        same = read_fact(connection, FINGERPRINT) == wanted
        return same and (not revision or read_revision(connection) == revision)
    except apsw.Error as error:
        raise unusable(path, error) from error
    finally:
        connection.close()


def _make_private(path: Path) -> None:
    """A new file is for its user alone: it holds password hashes and the root secret. What SQLite adds follows it."""
    with contextlib.suppress(OSError):  # SQLite will meet the same and say it
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _create(connection: apsw.Connection, statements: list[str], revision: str) -> None:
    if is_empty(connection):  # still, now that no other process can make it
        for statement in statements:
            connection.execute(statement)
        if revision:
            write_revision(connection, revision)


def _is_verbatim(connection: apsw.Connection, statements: list[str]) -> bool:
    present = {row[0].strip() for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}
    return present.issuperset(text.strip() for text in statements if text.lstrip().startswith("CREATE"))


def exists(url: str) -> bool:
    """Whether the file of a database is there."""
    return database_path(url).exists()


def is_empty(connection: apsw.Connection) -> bool:
    """Whether the database has no table at all."""
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' LIMIT 1").fetchone() is None


def read_fact(connection: apsw.Connection, name: str) -> str | None:
    """One of the facts all processes agree on; None when it, or the table of facts, is missing."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ramet_facts'").fetchone()
    row = connection.execute("SELECT value FROM ramet_facts WHERE name = ?", (name,)).fetchone() if known else None
    return None if row is None else str(row[0])


def write_fact(connection: apsw.Connection, name: str, value: str) -> None:
    """Sets a fact."""
    connection.execute("INSERT OR REPLACE INTO ramet_facts (name, value) VALUES (?, ?)", (name, value))


def read_revision(connection: apsw.Connection) -> str:
    """The newest revision that the database has; empty when it has none."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (REVISIONS,)).fetchone()
    row = connection.execute(f"SELECT version_num FROM {REVISIONS}").fetchone() if known else None
    return "" if row is None else str(row[0])


def write_revision(connection: apsw.Connection, revision: str) -> None:
    """Sets the revision, in the table that Alembic keeps."""
    connection.execute(f"CREATE TABLE IF NOT EXISTS {REVISIONS} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(f"DELETE FROM {REVISIONS}")
    connection.execute(f"INSERT INTO {REVISIONS} (version_num) VALUES (?)", (revision,))
