"""What follows from the tables and holds nothing of its own: functions and indexes.

These are compared by their text and made anew, never migrated. The text of an index is kept, hashed, in its comment:
what the server shows of an index is its own wording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ramet.data.postgres import building
from ramet.data.postgres.building import Wanted

_INDEX = re.compile(r"\s*(CREATE (?:UNIQUE )?INDEX) (\w+) (ON (\S+) .*)", re.DOTALL)
_FUNCTION = re.compile(r"\s*CREATE OR REPLACE FUNCTION ")
_OURS = (
    "SELECT i.relname, x.indisvalid, coalesce(obj_description(i.oid, 'pg_class'), '')"
    " FROM pg_class i JOIN pg_index x ON x.indexrelid = i.oid"
    " WHERE i.relkind = 'i' AND i.relnamespace = current_schema()::regnamespace AND i.relname LIKE 'ix\\_%'"
)


def drop_triggers(connection: Any) -> None:
    """Nothing stands in the way of changing a table; functions come before the tables whose indexes need them."""


def derived_names(connection: Any) -> set[str]:
    """The names of all there are."""
    return set(_ours(connection))


def restore_derived(
    connection: Any, statements: Sequence[str], before: set[str], *, rows_changed: bool, at_once: bool
) -> list[str]:
    """Make what the declaration's `statements` say of empty tables; a sentence for each that is new.

    The rest is left to `build`, unless it is to be done `at_once`, while nobody can write. `before` are the names at
    the start of the migration. Raises the driver's error when values are not unique.
    """
    for text in statements:
        if _FUNCTION.match(text):
            connection.execute(text)
    wanted = _wanted(statements)
    present = _ours(connection)
    told = []
    for name in present.keys() - wanted.keys() if at_once else ():
        connection.execute(f'DROP INDEX "{name}"')
        told.append(f"index {name} is dropped")
    for name, index in wanted.items():
        if present.get(name) != index.mark and (at_once or not _has_rows(connection, index.table)):
            connection.execute(f'DROP INDEX IF EXISTS "{name}"')
            connection.execute(index.statement)
            connection.execute(f"COMMENT ON INDEX \"{name}\" IS '{index.mark}'")
            if name not in before:
                told.append(f"index {name} is made")
    return told


def differs(connection: Any, statements: Iterable[str]) -> bool:
    """Whether there is something to make or to drop."""
    return {name: index.mark for name, index in _wanted(statements).items()} != _ours(connection)


def deferrable(statements: Iterable[str]) -> frozenset[str]:
    """The indexes that `restore_derived` or `build` makes, in place of a revision or a step."""
    return frozenset(_wanted(statements))


def invalid(connection: Any) -> frozenset[str]:
    """The indexes that were not completed, and hold for nothing."""
    return frozenset(str(name) for name, valid, _ in connection.execute(_OURS).fetchall() if not valid)


def build(url: str, statements: Sequence[str], held: Callable[[], None]) -> Iterator[str]:
    """Make and drop what is left, while others write; see `ramet.data.postgres.building`."""
    return building.build(url, _wanted(statements), _ours, held)


def broken_references(connection: Any) -> list[str]:
    """None ever: the engine checks references at every step."""
    return []


def _wanted(statements: Iterable[str]) -> dict[str, Wanted]:
    return {
        match[2]: Wanted(match[2], match[4], _mark(text.strip()), match[1], match[3].strip())
        for text in statements
        if (match := _INDEX.match(text))
    }


def _ours(connection: Any) -> dict[str, str]:
    """The mark of each index by its name; none when it is not complete."""
    return {str(name): str(mark) if valid else "" for name, valid, mark in connection.execute(_OURS).fetchall()}


def _has_rows(connection: Any, table: str) -> bool:
    return bool(connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0])


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
