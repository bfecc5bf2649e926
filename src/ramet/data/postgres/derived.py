"""What follows from the tables and holds nothing of its own: functions and indexes.

These are compared by their text and made anew, never migrated. The text of an index is kept, hashed, in its comment:
what the server shows of an index is its own wording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

_INDEX = re.compile(r"\s*CREATE (UNIQUE )?INDEX (\w+)")
_FUNCTION = re.compile(r"\s*CREATE OR REPLACE FUNCTION ")
_OURS = (
    "SELECT i.relname, coalesce(obj_description(i.oid, 'pg_class'), '') FROM pg_class i"
    " WHERE i.relkind = 'i' AND i.relnamespace = current_schema()::regnamespace AND i.relname LIKE 'ix\\_%'"
)


def drop_triggers(connection: Any) -> None:
    """Nothing stands in the way of changing a table; functions come before the tables whose indexes need them."""


def derived_names(connection: Any) -> set[str]:
    """The names of all there are."""
    return set(_ours(connection))


def restore_derived(connection: Any, statements: Sequence[str], before: set[str], *, rows_changed: bool) -> list[str]:
    """Make what the declaration's `statements` say, drop what they no longer say; a sentence for each that is new.

    `before` are the names at the start of the migration. Raises the driver's error when values are not unique.
    """
    for text in statements:
        if _FUNCTION.match(text):
            connection.execute(text)
    wanted = _wanted(statements)
    present = _ours(connection)
    told = []
    for name, mark in present.items():
        if name not in wanted or _mark(wanted[name]) != mark:
            connection.execute(f'DROP INDEX "{name}"')
            if name not in wanted:
                told.append(f"index {name} is dropped")
    for name, text in wanted.items():
        if present.get(name) != _mark(text):
            connection.execute(text)
            connection.execute(f"COMMENT ON INDEX \"{name}\" IS '{_mark(text)}'")
            if name not in before:
                told.append(f"index {name} is made")
    return told


def differs(connection: Any, statements: Iterable[str]) -> bool:
    """Whether `restore_derived` would have something to do."""
    return {name: _mark(text) for name, text in _wanted(statements).items()} != _ours(connection)


def broken_references(connection: Any) -> list[str]:
    """None ever: the engine checks references at every step."""
    return []


def _wanted(statements: Iterable[str]) -> dict[str, str]:
    return {match[2]: text.strip() for text in statements if (match := _INDEX.match(text))}


def _ours(connection: Any) -> dict[str, str]:
    """The mark of each index by its name."""
    return {str(name): str(mark) for name, mark in connection.execute(_OURS).fetchall()}


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
