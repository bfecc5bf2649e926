"""Whether a database has the schema of a declaration. Only `ramet migrate apply` makes or changes one."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from ramet.data.fingerprint import FINGERPRINT, HALF_MOVED, KINDS, MOVE, REVISIONS, fingerprint
from ramet.data.kinds import column_kinds
from ramet.data.postgres.connection import address
from ramet.data.postgres.ddl import schema_statements
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog
from ramet.errors import SettingsError

__all__ = [
    "ensure_schema",
    "exists",
    "read_fact",
    "read_revision",
    "record_schema",
    "schema_statements",
    "write_fact",
]


def record_schema(connection: Any, wanted: str, catalog: Catalog) -> None:
    """Notes that the database now has the schema of this fingerprint."""
    write_fact(connection, FINGERPRINT, wanted)
    write_fact(connection, KINDS, msgspec.json.encode(column_kinds(catalog)).decode())


def ensure_schema(url: str, schema: Schema, catalog: Catalog, revision: str = "") -> bool:
    """Whether the database has this very schema and `revision`, if one is given.

    Raises SettingsError when the database cannot be used.
    """
    wanted = fingerprint(schema_statements(schema, catalog), catalog)
    try:
        with psycopg.connect(address(url), connect_timeout=10) as connection:
            if read_fact(connection, MOVE) is not None:
                raise SettingsError(f"RAMET_DATABASE_URL: {HALF_MOVED}")
            same = read_fact(connection, FINGERPRINT) == wanted
            return same and (not revision or read_revision(connection) == revision)
    except psycopg.Error as error:
        raise SettingsError(f"RAMET_DATABASE_URL: the database cannot be used: {reason(error)}.") from error


def exists(url: str) -> bool:
    """Whether there is something to migrate: a database server has a database before it has tables."""
    return bool(address(url))


def reason(error: Exception) -> str:
    """The first line of what a server says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_fact(connection: Any, name: str) -> str | None:
    """One of the facts all processes agree on; None when it, or the table of facts, is missing."""
    if not _has_table(connection, "ramet_facts"):
        return None
    row = connection.execute("SELECT value FROM ramet_facts WHERE name = %s", (name,)).fetchone()
    return None if row is None else str(row[0])


def write_fact(connection: Any, name: str, value: str) -> None:
    """Sets a fact."""
    connection.execute(
        "INSERT INTO ramet_facts (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def read_revision(connection: Any) -> str:
    """The newest revision that the database has; empty when it has none."""
    known = _has_table(connection, REVISIONS)
    row = connection.execute(f"SELECT version_num FROM {REVISIONS}").fetchone() if known else None
    return "" if row is None else str(row[0])


def _has_table(connection: Any, name: str) -> bool:
    return bool(connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()[0])
