"""Reads of one resource as SQL: each shape compiled once and kept."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, false, func, literal_column, or_, select, tuple_
from sqlalchemy.sql.schema import Table

from ramet.data.codec import RecordCodec, RowShape
from ramet.data.engine import Engine
from ramet.data.query import Filter, Query
from ramet.data.statement import Statement, compile_statement
from ramet.declare.catalog import ResourceInfo

T = TypeVar("T")
This = Callable[[str], ColumnElement[Any]]
"""A record's fields by name."""
MAX_SHAPES = 1_000
_SCANS = ("contains", "starts")
_COMPARE = {"eq": operator.eq, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}


class ListPlan(msgspec.Struct):
    """A compiled list. Rows hold the fields of `shape`, then those sort keys that it lacks; `keys` are their places."""

    statement: Statement
    shape: RowShape
    keys: tuple[int, ...]
    width: int

    def wire(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """One encodable object a row."""
        return self.shape.wire([row[: self.width] for row in rows] if self.width else rows)


class Guard(msgspec.Struct, frozen=True):
    """What a caller's access adds to a statement: a condition (None for all), and fields to leave out or null.

    `identity` distinguishes guards in the store of compiled shapes.
    """

    identity: Any
    condition: ColumnElement[bool] | None
    omitted: frozenset[str] = frozenset()
    nulled: tuple[tuple[str, ColumnElement[bool]], ...] = ()


class Reads:
    """Compiles lists, counts and point reads of one resource."""

    def __init__(self, info: ResourceInfo, table: Table, engine: Engine) -> None:
        self.info = info
        self.table = table
        self.engine = engine
        self.codec = RecordCodec(info, engine.codec_of)
        self._kept: dict[Any, Any] = {}
        self._every = [table.c[name] for name in self.codec.names]

    def list_plan(self, query: Query, guard: Guard) -> ListPlan:
        key = ("list", query.shape, guard.identity)
        return self._keep(key, lambda: self._build_list(query, guard))

    def places_plan(self, query: Query, guard: Guard) -> ListPlan | None:
        """The list's records by id, version and sort keys alone; None where what is shown is not all of a record."""
        if query.fields is not None or guard.omitted or guard.nulled:
            return None
        fields = tuple(dict.fromkeys(("id", "version", *(name for name, _ in query.sort))))
        slim = msgspec.structs.replace(query, fields=fields)
        return self.list_plan(slim, guard)

    def place_plan(self, guard: Guard) -> Statement | None:
        """Id and version of the record `id`, under the same condition."""
        if guard.omitted or guard.nulled:
            return None
        return self.get_plan(("id", "version"), guard)[0]

    def count_plan(self, query: Query, guard: Guard) -> Statement:
        key = ("count", query.shape, guard.identity)
        return self._keep(key, lambda: self._build_count(query, guard))

    def get_plan(self, fields: tuple[str, ...] | None, guard: Guard) -> tuple[Statement, RowShape]:
        """The readable fields of the record `id`."""
        return self._keep(("get", fields, guard.identity), lambda: self._build_get(fields, guard))

    def full_plan(self, guard: Guard | None) -> Statement:
        """The whole row of the record `id`."""
        identity = None if guard is None else guard.identity
        return self._keep(("full", identity), lambda: self._build_full(guard))

    def admits_plan(self, identity: Any, condition: Callable[[This], ColumnElement[bool]]) -> Statement:
        """One row if a record with the values `this_<field>` would meet the condition, made of what `This` gives."""
        return self._keep(("admits", identity), lambda: self._build_admits(condition))

    def many_plan(self, name: str, size: int, guard: Guard) -> tuple[Statement, RowShape]:
        """Readable fields of records whose field `name` is one of `size` values `v0`, `v1`, …, and last that field."""
        return self._keep(("many", name, size, guard.identity), lambda: self._build_many(name, size, guard))

    def full_list_plan(self, query: Query, guard: Guard) -> Statement:
        """A list of whole rows."""
        return self._keep(("rows", query.shape, guard.identity), lambda: self._build_rows(query, guard))

    def count_by_plan(self, field: str, query: Query, guard: Guard) -> Statement:
        """How many rows there are for each value of a field."""
        key = ("count by", field, query.shape, guard.identity)
        return self._keep(key, lambda: self._build_count_by(field, query, guard))

    def values(self, query: Query) -> dict[str, Any]:
        """The parameters of a list or count, but for those of the caller."""
        values: dict[str, Any] = {"limit": query.limit + 1}
        for number, item in enumerate(query.filters):
            if item.operator == "is":
                continue
            for place, value in enumerate(item.values):
                folded = (
                    value.casefold() if item.operator in ("contains", "starts") else self.codec.bind(item.field, value)
                )
                values[f"f{number}_{place}"] = folded
        if query.place is not None:
            values.update({f"c{number}": value for number, value in enumerate(query.place)})
        if query.search:
            values["q"] = self.engine.search_terms(query.search)
        return values

    def _keep(self, key: Any, build: Callable[[], T]) -> T:
        found: T | None = self._kept.get(key)
        if found is None:
            if len(self._kept) >= MAX_SHAPES:
                self._kept.clear()
            found = self._kept[key] = build()
        return found

    def _shown(self, fields: tuple[str, ...] | None, guard: Guard) -> list[str]:
        names = self.info.readable if fields is None else fields
        return [name for name in names if name not in guard.omitted]

    def _columns(self, names: Sequence[str], guard: Guard) -> list[Any]:
        nulled = dict(guard.nulled)
        return [case((nulled[name], self.table.c[name])) if name in nulled else self.table.c[name] for name in names]

    def _build_list(self, query: Query, guard: Guard) -> ListPlan:
        shown = self._shown(query.fields, guard)
        extra = [name for name, _ in query.sort if name not in shown]
        names = [*shown, *extra]
        clause: Select[Any] = select(*self._columns(shown, guard), *(self.table.c[name] for name in extra))
        clause = self._where(clause, query, guard)
        if query.place is not None:
            clause = clause.where(self._beyond(query))
        for name, descending in query.sort:
            clause = clause.order_by(self.engine.ordered(self.table.c[name], descending != query.backward))
        statement = self._compile(clause.limit(bindparam("limit")), query)
        keys = tuple(names.index(name) for name, _ in query.sort)
        return ListPlan(statement, self.codec.shape(shown), keys, len(shown) if extra else 0)

    def _build_count(self, query: Query, guard: Guard) -> Statement:
        clause = self._where(select(func.count()).select_from(self.table), query, guard)
        return self._compile(clause, query)

    def _build_count_by(self, field: str, query: Query, guard: Guard) -> Statement:
        column = self.table.c[field]
        clause = self._where(select(column, func.count()).group_by(column), query, guard)
        return self._compile(clause, query)

    def _build_rows(self, query: Query, guard: Guard) -> Statement:
        clause = self._where(select(*self._every), query, guard)
        clause = clause.order_by(*(self.engine.ordered(self.table.c[name], down) for name, down in query.sort))
        return self._compile(clause.limit(bindparam("limit")), query)

    def _build_get(self, fields: tuple[str, ...] | None, guard: Guard) -> tuple[Statement, RowShape]:
        names = self._shown(fields, guard)
        extra = [] if "version" in names else [self.table.c.version]
        clause = select(*self._columns(names, guard), *extra).where(self.table.c.id == bindparam("id"))
        if guard.condition is not None:
            clause = clause.where(guard.condition)
        return compile_statement(clause, self.engine.dialect), self.codec.shape(names)

    def _build_full(self, guard: Guard | None) -> Statement:
        clause = select(*self._every).where(self.table.c.id == bindparam("id"))
        if guard is not None and guard.condition is not None:
            clause = clause.where(guard.condition)
        return compile_statement(clause, self.engine.dialect)

    def _build_admits(self, condition: Callable[[This], ColumnElement[bool]]) -> Statement:
        met = condition(lambda name: bindparam(f"this_{name}", type_=self.table.c[name].type))
        return compile_statement(select(literal_column("1")).where(met), self.engine.dialect)

    def _build_many(self, name: str, size: int, guard: Guard) -> tuple[Statement, RowShape]:
        names = self._shown(None, guard)
        column = self.table.c[name]
        clause = select(*self._columns(names, guard), column).where(
            column.in_([bindparam(f"v{n}") for n in range(size)])
        )
        if guard.condition is not None:
            clause = clause.where(guard.condition)
        return compile_statement(clause, self.engine.dialect), self.codec.shape(names)

    def _compile(self, clause: Select[Any], query: Query) -> Statement:
        """A statement that looks into texts is costly from the start: single steps of it are long, and not counted."""
        statement = compile_statement(clause, self.engine.dialect)
        statement.costly = bool(query.search) or any(item.operator in _SCANS for item in query.filters)
        return statement

    def _where(self, clause: Select[Any], query: Query, guard: Guard) -> Select[Any]:
        if guard.condition is not None:
            clause = clause.where(guard.condition)
        for number, item in enumerate(query.filters):
            clause = clause.where(self._condition(item, f"f{number}"))
        if query.search:
            clause = clause.where(self.engine.matches(self.info, "q"))
        return clause

    def _condition(self, item: Filter, name: str) -> ColumnElement[bool]:
        column: ColumnElement[Any] = self.table.c[item.field]
        first: Any = bindparam(f"{name}_0")
        match item.operator:
            case "is":
                return column.is_(None) if item.values[0] else column.is_not(None)
            case "in":
                return column.in_([bindparam(f"{name}_{place}") for place in range(len(item.values))])
            case "ne":
                return or_(column != first, column.is_(None))
            case "contains":
                return self.engine.contains(column, f"{name}_0")
            case "starts":
                return self.engine.starts(column, f"{name}_0")
        condition: ColumnElement[bool] = _COMPARE[item.operator](column, first)
        return condition

    def _beyond(self, query: Query) -> ColumnElement[bool]:
        """Rows after the cursor in the list's order (before it, when backward); null sorts before every value."""
        place = query.place or ()
        columns = [self.table.c[name] for name, _ in query.sort]
        downward = [descending != query.backward for _, descending in query.sort]
        nullable = any(self.info.fields[name].optional for name, _ in query.sort)
        marks: list[Any] = [bindparam(f"c{number}") for number in range(len(columns))]
        if not nullable and len(set(downward)) == 1:
            left, right = tuple_(*columns), tuple_(*marks)
            return left < right if downward[0] else left > right
        choices = []
        for number, column in enumerate(columns):
            same = [columns[n].is_(None) if place[n] is None else columns[n] == marks[n] for n in range(number)]
            choices.append(and_(*same, _after(column, marks[number], place[number] is None, downward[number])))
        return or_(*choices)


def _after(column: ColumnElement[Any], mark: Any, is_null: bool, downward: bool) -> ColumnElement[bool]:
    if downward:
        return false() if is_null else or_(column < mark, column.is_(None))
    return column.is_not(None) if is_null else column > mark
