"""Names and numbers of tables and columns that only the database would find to clash, or to be too many."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ramet.declare.resource import Resource
from ramet.declare.source import refuse

MOST_COLUMNS = 1_600
"""Columns that a table may have in every database: PostgreSQL's limit; SQLite allows 2,000."""
ROW = "row_id"
_TEXT_INDEX = ("", "_data", "_idx", "_content", "_docsize", "_config")
"""The tables of a full-text index, by what is added to its name."""
_OF_TEXT_INDEX = ("rank", "rowid")
"""Names that columns of a full-text index cannot have."""
_OF_POSTGRES = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Columns that every table of PostgreSQL has."""


class Stored(NamedTuple):
    """A resource, as far as its table goes."""

    cls: type[Resource]
    path: str
    table: str
    search: Collection[str]


def check_columns(cls: type[Resource], names: Iterable[str]) -> None:
    """No two columns of a table have names that a database takes for the same; nor are there too many."""
    columns = {ROW: ROW}
    for name in names:
        if name in _OF_POSTGRES:
            refuse(cls, name, "is a column that every table of PostgreSQL has: choose another name")
        other = columns.setdefault(name.lower(), name)
        if other != name:
            refuse(
                cls,
                name,
                f"is the same as '{other}' to a database, where capitals make no difference: rename one of them",
            )
    if len(columns) > MOST_COLUMNS:
        refuse(
            cls,
            "",
            f"has {len(columns):,} columns with those of every record, and a table has at most {MOST_COLUMNS:,}: "
            "keep a part in another resource, or in a Json field",
        )


def check_tables(resources: Iterable[Stored]) -> None:
    """No table has a name that the database or a full-text index of another resource has."""
    known = list(resources)
    indexes = {f"{one.table}_fts{end}": one for one in known if one.search for end in _TEXT_INDEX}
    for one in known:
        for name in one.search:
            if name.lower() in (*_OF_TEXT_INDEX, f"{one.table}_fts"):
                refuse(
                    one.cls, "search", f"'{name}' is a name that an index for searching has itself: rename the field"
                )
        if one.table.startswith("sqlite_"):
            refuse(
                one.cls,
                "path",
                f"'{one.path}' makes a table that begins with 'sqlite_', as SQLite's do; choose another",
            )
        if one.table in indexes:
            searched = indexes[one.table].cls.__name__
            refuse(
                one.cls, "path", f"'{one.path}' makes a table that the index of {searched}.search has; choose another"
            )
