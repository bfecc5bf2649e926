"""Changes of one resource as SQL: each shape compiled once and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.sql.schema import Table

from ramet.data.engine import Engine
from ramet.data.reads import MAX_SHAPES, Guard
from ramet.data.statement import Statement, compile_statement
from ramet.declare.catalog import ResourceInfo

T = TypeVar("T")


class Writes:
    """Compiles inserts, updates and deletions of one resource. Column parameters are `v_<name>`.

    `insert` takes a row as it is: its columns are in the order of the declaration.
    """

    def __init__(self, info: ResourceInfo, table: Table, engine: Engine) -> None:
        self.info = info
        self.table = table
        self.engine = engine
        self._kept: dict[Any, Any] = {}
        self._every = [table.c[name] for name in info.fields]
        values: dict[str, Any] = {name: bindparam(f"v_{name}") for name in info.fields}
        self.insert = compile_statement(insert(table).values(values), engine.dialect)

    def update(self, names: tuple[str, ...], guard: Guard | None, matched: bool) -> Statement:
        """Sets `names` and the version of record `id`, only at version `match` if `matched`; returns the whole row."""
        identity = None if guard is None else guard.identity
        return self._keep(("update", names, identity, matched), lambda: self._build_update(names, guard, matched))

    def update_logged(self, names: tuple[str, ...], guard: Guard | None, matched: bool) -> Statement | None:
        """The same, with the row of the log, for `Store.change`; None where the engine does not offer that."""
        make = self.engine.logged
        if make is None:
            return None
        identity = None if guard is None else guard.identity
        statement = self.update(names, guard, matched)
        return self._keep(("logged", names, identity, matched), lambda: make(statement, self.info))

    def delete(self, guard: Guard | None, matched: bool) -> Statement:
        """Deletes record `id`, only at version `match` if `matched`; returns the whole row."""
        identity = None if guard is None else guard.identity
        return self._keep(("delete", identity, matched), lambda: self._build_delete(guard, matched))

    def pointing_at(self, name: str) -> Statement:
        """The ids of at most `limit` records whose reference `name` is `target`."""
        return self._keep(("pointing", name), lambda: self._build_pointing(name))

    def _keep(self, key: Any, build: Callable[[], T]) -> T:
        found: T | None = self._kept.get(key)
        if found is None:
            if len(self._kept) >= MAX_SHAPES:
                self._kept.clear()
            found = self._kept[key] = build()
        return found

    def _build_update(self, names: tuple[str, ...], guard: Guard | None, matched: bool) -> Statement:
        values: dict[str, Any] = {name: bindparam(f"v_{name}") for name in names}
        values["version"] = self.table.c.version + 1
        clause = update(self.table).values(values).where(self.table.c.id == bindparam("record_id"))
        if guard is not None and guard.condition is not None:
            clause = clause.where(guard.condition)
        if matched:
            clause = clause.where(self.table.c.version == bindparam("match"))
        return compile_statement(clause.returning(*self._every), self.engine.dialect)

    def _build_delete(self, guard: Guard | None, matched: bool) -> Statement:
        clause = delete(self.table).where(self.table.c.id == bindparam("record_id"))
        if guard is not None and guard.condition is not None:
            clause = clause.where(guard.condition)
        if matched:
            clause = clause.where(self.table.c.version == bindparam("match"))
        return compile_statement(clause.returning(*self._every), self.engine.dialect)

    def _build_pointing(self, name: str) -> Statement:
        column = self.table.c[name]
        clause = select(self.table.c.id).where(column == bindparam("target")).limit(bindparam("limit"))
        return compile_statement(clause, self.engine.dialect)
