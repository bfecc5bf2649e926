"""Whether a database file has the schema of a declaration; making it in a file that is new.

Light: this runs at each start. What changes an existing schema is `ramet.data.migrations`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apsw

from ramet.data.schema import Schema
from ramet.data.sqlite.connection import open_connection
from ramet.data.sqlite.ddl import create_statements, search_statements
from ramet.declare.catalog import Catalog
from ramet.errors import SettingsError

FINGERPRINT = "schema"
"""The fact that names the declaration a database was last brought to."""
REVISIONS = "ramet_revisions"
"""The table that holds the revision a database was last brought to."""
LOCK_SECONDS = 120
"""How long a process waits for another one that makes or changes the schema."""


def schema_statements(schema: Schema, catalog: Catalog) -> Iterator[str]:
    """Everything that makes the schema, in order."""
    yield from create_statements(schema.metadata)
    for info in catalog:
        yield from search_statements(info)


def fingerprint(statements: Iterable[str], revisions: Sequence[str]) -> str:
    """Equal for equal schemas that were brought about by the same revisions."""
    digest = hashlib.sha256()
    for text in (*statements, *revisions):
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def ensure_schema(path: Path, schema: Schema, catalog: Catalog, revisions: Sequence[str] = ()) -> bool:
    """Make the schema if the file is new or empty; whether the file then has this very schema.

    `revisions` are the names of the application's revisions, oldest first: a new file needs none of them.
    Raises SettingsError when the file cannot be used.
    """
    statements = list(schema_statements(schema, catalog))
    wanted = fingerprint(statements, revisions)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"RAMET_DATABASE_URL: {path.parent} cannot be made: {error.strerror}.") from error
    connection = open_connection(path, writes=True)
    try:
        connection.set_busy_timeout(LOCK_SECONDS * 1000)
        if not is_empty(connection):
            return read_fact(connection, FINGERPRINT) == wanted
        connection.execute("BEGIN IMMEDIATE")
        if not is_empty(connection):  # another process was first
            connection.execute("ROLLBACK")
            return read_fact(connection, FINGERPRINT) == wanted
        for statement in statements:
            connection.execute(statement)
        write_fact(connection, FINGERPRINT, wanted)
        if revisions:
            connection.execute(f"CREATE TABLE {REVISIONS} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            connection.execute(f"INSERT INTO {REVISIONS} VALUES (?)", (revisions[-1],))
        connection.execute("COMMIT")
        return True
    except apsw.Error as error:
        raise SettingsError(f"RAMET_DATABASE_URL: {path.name} cannot be used: {error}.") from error
    finally:
        connection.close()


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
