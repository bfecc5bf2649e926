"""Which tables of a database are Ramet's, and whether they have what a declaration needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ramet.data.schema import Schema

_BASE = {"row_id", "id", "owner", "created_at", "updated_at", "version"}
COLUMNS = (
    "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = current_schema()"
)


def comparable_tables(connection: Any) -> set[str]:
    """Tables that a declaration of the past may have made: Ramet's own and those of resources."""
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(COLUMNS).fetchall():
        found.setdefault(table, set()).add(column)
    return {name for name, columns in found.items() if name.startswith("ramet_") or columns >= _BASE}


def has_columns(schema: Schema, columns: Iterable[tuple[str, str]]) -> bool:
    """Whether a database with these columns serves a declaration, if maybe a later one was migrated to as well."""
    present = set(columns)
    return all(
        (table.name, column.name) in present for table in schema.metadata.sorted_tables for column in table.columns
    )
