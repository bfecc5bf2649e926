"""What follows from the tables and holds nothing of its own: indexes, full-text indexes and their triggers.

These are compared by their text and made anew, never migrated. SQLite loses triggers with the table they belong to,
and what reflects an index does not see its direction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import apsw

_MADE = re.compile(r"\s*CREATE (UNIQUE INDEX|INDEX|TRIGGER|VIRTUAL TABLE) (\w+)")
_REBUILT = re.compile(r"INSERT INTO (\w+_fts) ")
_OURS = (
    "SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND ("
    " (type = 'index' AND name LIKE 'ix\\_%' ESCAPE '\\')"
    " OR (type = 'trigger' AND (name GLOB '*_fts_[iud]*' OR name GLOB '*_version_update'))"
    " OR (type = 'table' AND name GLOB '*_fts' AND sql LIKE 'CREATE VIRTUAL TABLE%'))"
)


def drop_triggers(connection: apsw.Connection) -> None:
    """Take the triggers away, which SQLite would otherwise check against each step in between."""
    for name, kind, _ in _ours(connection):
        if kind == "trigger":
            connection.execute(f'DROP TRIGGER "{name}"')


def derived_names(connection: apsw.Connection) -> set[str]:
    """The names of all there are."""
    return {name for name, _, _ in _ours(connection)}


def restore_derived(
    connection: apsw.Connection, statements: Sequence[str], before: set[str], *, rows_changed: bool, at_once: bool
) -> list[str]:
    """Make what the declaration's `statements` say, drop what they no longer say; a sentence for each that is new.

    `before` are the names at the start of the migration. `rows_changed` fills full-text indexes anew even if they
    stand as declared. It is done `at_once` always. Raises apsw.ConstraintError when values are not unique.
    """
    wanted = {match[2]: text.strip() for text in statements if (match := _MADE.match(text))}
    present = {name: (kind, sql) for name, kind, sql in _ours(connection)}
    told = []
    for name, (kind, sql) in present.items():
        if wanted.get(name) != sql:
            connection.execute(f'DROP {kind} "{name}"')
            if name not in wanted:
                told.append(f"{_noun(sql)} {name} is dropped")
    for name, text in wanted.items():
        if present.get(name, ("", ""))[1] != text:
            connection.execute(text)
            if name not in before:
                told.append(f"{_noun(text)} {name} is made")
    for text in statements:
        filled = _REBUILT.match(text)
        if filled and (rows_changed or present.get(filled[1], ("", ""))[1] != wanted[filled[1]]):
            connection.execute(text)
    return [text for text in told if not text.startswith("trigger")]


def differs(connection: apsw.Connection, statements: Iterable[str]) -> bool:
    """Whether `restore_derived` would have something to do."""
    wanted = {text.strip() for text in statements if _MADE.match(text)}
    return wanted != {sql for _, _, sql in _ours(connection)}


def deferrable(statements: Iterable[str]) -> frozenset[str]:
    """None: whoever writes waits for the one writer anyway."""
    return frozenset()


def invalid(connection: apsw.Connection) -> frozenset[str]:
    """None: an index is made as a whole or not at all."""
    return frozenset()


def build(url: str, statements: Sequence[str], held: Callable[[], None]) -> Iterator[str]:
    """Nothing is left to be made."""
    return iter(())


def broken_references(connection: apsw.Connection) -> list[str]:
    """A sentence for each table with rows that refer to nothing."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, target, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
        pair = str(table), str(target)
        counts[pair] = counts.get(pair, 0) + 1
    return [
        f"{number} rows of {table} refer to {target} that do not exist" for (table, target), number in counts.items()
    ]


def _ours(connection: apsw.Connection) -> list[tuple[str, str, str]]:
    """Name, type and text of each."""
    return [(str(name), str(kind), str(sql).strip()) for name, kind, sql in connection.execute(_OURS).fetchall()]


def _noun(sql: str) -> str:
    match = _MADE.match(sql)
    words = {"VIRTUAL TABLE": "full-text index", "TRIGGER": "trigger"}
    return words.get(match[1], "index") if match else ""
