"""Statements that make the schema, full-text indexes included."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import MetaData
from sqlalchemy.schema import CreateIndex, CreateTable

from ramet.data.schema import ROW
from ramet.data.sqlite.expressions import DIALECT
from ramet.declare.catalog import ResourceInfo


def create_statements(metadata: MetaData) -> Iterator[str]:
    """Tables in the order of their references, each followed by its indexes."""
    for table in metadata.sorted_tables:
        yield str(CreateTable(table).compile(dialect=DIALECT))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=DIALECT))


def version_statement(info: ResourceInfo) -> str:
    """The trigger that counts a change of a record that another program makes: its version names what it holds."""
    table = info.table
    count = f'UPDATE "{table}" SET version = old.version + 1 WHERE {ROW} = new.{ROW};'
    return (
        f'CREATE TRIGGER {table}_version_update AFTER UPDATE ON "{table}"'
        f" WHEN new.version = old.version BEGIN {count} END"
    )


def search_statements(info: ResourceInfo) -> list[str]:
    """The full-text index of a resource's search fields, kept up by triggers, and its first filling."""
    if not info.search:
        return []
    table, index = info.table, f"{info.table}_fts"
    names = ", ".join(f'"{name}"' for name in info.search)
    new = ", ".join(f'new."{name}"' for name in info.search)
    old = ", ".join(f'old."{name}"' for name in info.search)
    add = f"INSERT INTO {index} (rowid, {names}) VALUES (new.{ROW}, {new});"
    drop = f"INSERT INTO {index} ({index}, rowid, {names}) VALUES ('delete', old.{ROW}, {old});"
    return [
        f"CREATE VIRTUAL TABLE {index} USING fts5 ({names}, content='{table}', content_rowid='{ROW}',"
        " tokenize='unicode61 remove_diacritics 2')",
        f'CREATE TRIGGER {index}_insert AFTER INSERT ON "{table}" BEGIN {add} END',
        f'CREATE TRIGGER {index}_delete AFTER DELETE ON "{table}" BEGIN {drop} END',
        f'CREATE TRIGGER {index}_update AFTER UPDATE OF {names} ON "{table}" BEGIN {drop} {add} END',
        f"INSERT INTO {index} ({index}) VALUES ('rebuild')",
    ]
