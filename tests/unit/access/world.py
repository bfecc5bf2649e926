"""A small world for rules: two resources with every type, random rows, rules and callers, and what rules mean in it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import apsw
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, FromClause, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from ramet.access.bind import Grant
from ramet.access.sql import to_sql
from ramet.data.codec import RecordCodec
from ramet.data.schema import Schema
from ramet.data.sqlite.engine import SqliteEngine
from ramet.data.sqlite.values import codec_of
from ramet.declare.catalog import Catalog
from ramet.declare.expressions import (
    AllOf,
    AnyOf,
    CallerValue,
    Comparison,
    Constant,
    Exists,
    FieldOf,
    Fixed,
    HasRole,
    IsNull,
    Not,
    OneOf,
    OneOfRoles,
    Operand,
    Rule,
    as_rule,
)
from ramet.declare.resource import Resource
from ramet.declare.rules import everyone, exists, me, nobody, outer, role, signed_in, that, this
from ramet.declare.types import Digits, Index


class Person(NamedTuple):
    """A caller."""

    id: str | None
    roles: frozenset[str] = frozenset()


class Item(Resource):
    """Has a field of every type that rules compare."""

    label: str | None = None
    audience: str | None = None
    kind: str = "a"
    number: int | None = None
    size: int = 0
    weight: float | None = None
    public: bool | None = None
    price: Annotated[Decimal, Digits(6, 2)] | None = None
    day: date | None = None
    at: datetime | None = None

    indexes = [Index("public"), Index("size")]


class Member(Resource):
    """Says who shares an item."""

    item: str | None = None
    user: str | None = None
    label: str | None = None
    number: int | None = None
    day: date | None = None

    indexes = [Index("user", "item")]


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = ["", "a", "b", "u1", "u2", "hr", "é", "z\N{OLD ITALIC LETTER A}"]
VALUES: Mapping[str, Sequence[Any]] = {
    "id": ["i0", "i1", "i2", "i3"],
    "owner": ["u1", "u2"],
    "text": TEXTS,
    "integer": [-(2**63) + 1, -1, 0, 1, 2, 2**53 + 1],
    "real": [-1.5, 0.0, 1.0, 2.0, 1e300],
    "boolean": [True, False],
    "decimal": [Decimal("-1.50"), Decimal("0"), Decimal("1.5"), Decimal("2.00")],
    "date": [date(1, 1, 1), date(2026, 1, 31), date(2026, 2, 1), date(9999, 12, 31)],
    "datetime": [
        MOMENT,
        datetime(2026, 1, 1, microsecond=1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
}
FAMILY = {
    "id": "id",
    "owner": "owner",
    "user": "owner",
    "item": "id",
    "label": "text",
    "audience": "text",
    "kind": "text",
    "number": "integer",
    "size": "integer",
    "weight": "real",
    "public": "boolean",
    "price": "decimal",
    "day": "date",
    "at": "datetime",
}
# Families whose values compare with each other.
MIXES = {"id": "text", "owner": "text", "text": "text", "integer": "number", "real": "number"}
ITEM_FIELDS = [name for name in FAMILY if name in Item.__struct_fields__]
MEMBER_FIELDS = [name for name in FAMILY if name in Member.__struct_fields__]
NEVER_NULL = {"id", "kind", "size"}
FIELDS = {"Item": ITEM_FIELDS, "Member": MEMBER_FIELDS}
CLASSES: dict[str, type[Resource]] = {"Item": Item, "Member": Member}
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

callers = st.builds(
    Person,
    st.sampled_from([None, "u1", "u2"]),
    st.frozensets(st.sampled_from(["admin", "hr", "a", "b"]), max_size=4),
)


def record(resource: str, identifier: str, values: Mapping[str, Any]) -> Any:
    """A record with the given values."""
    return CLASSES[resource](**{**values, "id": identifier, "created_at": MOMENT, "updated_at": MOMENT})


@st.composite
def records(draw: st.DrawFn, resource: str) -> list[Any]:
    """A few records, with nulls wherever they may be."""
    found = []
    for place in range(draw(st.integers(0, 4))):
        values = {
            name: draw(st.sampled_from([*VALUES[FAMILY[name]], *([] if name in NEVER_NULL else [None])]))
            for name in FIELDS[resource]
        }
        found.append(record(resource, f"i{place}", values))
    return found


def worlds() -> st.SearchStrategy[dict[str, list[Any]]]:
    return st.fixed_dictionaries({"Item": records("Item"), "Member": records("Member")})


@st.composite
def rules(draw: st.DrawFn, in_sight: tuple[str, ...] = ("Item",), size: int = 3) -> Rule:
    """A random rule; `in_sight` are the resources of the records it may speak of, the rule's own first."""
    shape = draw(st.sampled_from(["leaf", "leaf", "and", "or", "not", "exists"])) if size else "leaf"
    if shape == "and":
        return draw(rules(in_sight, size - 1)) & draw(rules(in_sight, size - 1))
    if shape == "or":
        return draw(rules(in_sight, size - 1)) | draw(rules(in_sight, size - 1))
    if shape == "not":
        return ~draw(rules(in_sight, size - 1))
    if shape == "exists" and len(in_sight) <= 3:
        name = draw(st.sampled_from(["Item", "Member"]))
        conditions = [draw(rules((*in_sight, name), size - 1)) for _ in range(draw(st.integers(0, 2)))]
        around = this if len(in_sight) == 1 else outer
        tied = draw(st.sampled_from([that.label == around.label, around.id == that.id, that.owner == me.id]))
        return exists(name, *conditions, tied) if draw(st.booleans()) or not conditions else exists(name, *conditions)
    return draw(leaves(in_sight))


@st.composite
def leaves(draw: st.DrawFn, in_sight: tuple[str, ...]) -> Rule:
    """A condition without parts."""
    field, family = draw(fields(in_sight))
    value = st.sampled_from(VALUES[family])
    match draw(st.sampled_from(["compare", "compare", "owner", "in", "null", "field", "caller", "roles", "bare"])):
        case "compare":
            return compare(draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="])), field, draw(value))
        case "owner":
            return compare(draw(st.sampled_from(["==", "!="])), this.owner, me.id)
        case "in":
            found: Rule = field.in_(draw(st.lists(value, max_size=3)))
            return found
        case "null":
            null: list[Rule] = [field.is_null(), field != None]  # noqa: E711  # as a team might write it
            return draw(st.sampled_from(null))
        case "field":
            other, _ = draw(fields(in_sight, MIXES.get(family, family)))
            return compare(draw(st.sampled_from(["==", "!=", "<", ">="])), field, other)
        case "roles":
            return draw(st.sampled_from([this.audience.in_(me.roles), ~this.kind.in_(me.roles)]))
        case "bare" if in_sight[-1] == "Item":
            return draw(st.sampled_from([this.public, ~this.public, role("admin") | this.public]))
        case _:
            constant = [
                everyone,
                nobody,
                signed_in,
                role("admin"),
                role("hr", "a"),
                me.id == "u1",
                me.id.in_(["u2", "x"]),
            ]
            return draw(st.sampled_from(constant))


@st.composite
def fields(draw: st.DrawFn, in_sight: tuple[str, ...], mix: str = "") -> tuple[Any, str]:
    """A field of a record in sight, with the family of its values; of those that compare with `mix`, if given."""
    scopes = [(this, in_sight[0])]
    if len(in_sight) > 1:
        scopes.append((that, in_sight[-1]))
    if len(in_sight) > 2:
        scopes.append((outer, in_sight[-2]))
    scope, resource = draw(st.sampled_from(scopes))
    fitting = [name for name in FIELDS[resource] if mix in ("", MIXES.get(FAMILY[name], FAMILY[name]))]
    if not fitting:
        scope, fitting = this, [name for name in ITEM_FIELDS if mix == MIXES.get(FAMILY[name], FAMILY[name])]
    name = draw(st.sampled_from(fitting))
    return getattr(scope, name), FAMILY[name]


def compare(name: str, left: Any, right: Any) -> Rule:
    compared: Rule = left != right if name == "!=" else OPERATORS[name](left, right)
    return compared


def means(rule: Rule, scopes: Sequence[Any], caller: Person, world: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a rule holds, straight from its definition: the model that everything else is held to."""

    def value(operand: Operand) -> Any:
        match operand:
            case FieldOf(scope, field):
                return getattr(scopes[{"this": 0, "that": -1, "outer": -2}[scope]], field)
            case CallerValue("id"):
                return caller.id
            case CallerValue(name):
                ordered = sorted(caller.roles)
                return ordered[min(int(name.removeprefix("role_")), len(ordered) - 1)]
            case Constant(constant):
                return constant

    match as_rule(rule):
        case Fixed(outcome):
            return outcome
        case HasRole(names):
            return any(name in caller.roles for name in names)
        case Comparison(name, left, right):
            first, second = value(left), value(right)
            return first is not None and second is not None and bool(OPERATORS[name](first, second))
        case OneOf(operand, values):
            return value(operand) is not None and any(value(operand) == value(one) for one in values)
        case OneOfRoles(operand):
            return value(operand) is not None and value(operand) in caller.roles
        case IsNull(operand):
            return value(operand) is None
        case Exists(resource, condition):
            return any(means(condition, (*scopes, one), caller, world) for one in world[resource])
        case AllOf(parts):
            return all(means(part, scopes, caller, world) for part in parts)
        case AnyOf(parts):
            return any(means(part, scopes, caller, world) for part in parts)
        case Not(part):
            return not means(part, scopes, caller, world)
        case _:
            raise TypeError(rule)


CATALOG = Catalog([Item, Member])
SCHEMA = Schema(CATALOG, SqliteEngine())
CODECS = {name: RecordCodec(info, codec_of) for name, info in CATALOG.by_name.items()}
DIALECT = sqlite.dialect(paramstyle="named")


def definitions() -> Iterator[str]:
    for table in SCHEMA.tables.values():
        yield str(CreateTable(table).compile(dialect=DIALECT))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=DIALECT))


DEFINITIONS = ";".join(definitions())


class Stored:
    """How a resource of the world is stored."""

    def __init__(self, name: str) -> None:
        self.table: FromClause = SCHEMA.tables[name]
        self.bind = CODECS[name].bind


def columns(name: str) -> Stored:
    return Stored(name)


class Database:
    """The world in SQLite."""

    def __init__(self, world: Mapping[str, Sequence[Any]]) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.execute(DEFINITIONS)
        for name, codec in CODECS.items():
            fields = ", ".join(f'"{field}"' for field in codec.names)
            places = ", ".join("?" * len(codec.names))
            rows = [codec.bind_record(one) for one in world.get(name, ())]
            self.connection.executemany(f'INSERT INTO "{SCHEMA.tables[name].name}" ({fields}) VALUES ({places})', rows)

    def run(self, statement: Any, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        compiled = statement.compile(dialect=DIALECT)
        return list(self.connection.execute(str(compiled), {**compiled.params, **parameters}))

    def plan(self, statement: Any, parameters: Mapping[str, Any]) -> list[str]:
        compiled = statement.compile(dialect=DIALECT)
        rows = self.connection.execute(f"EXPLAIN QUERY PLAN {compiled}", {**compiled.params, **parameters})
        return [row[3] for row in rows]

    def allowed(self, grant: Grant, *, listing: bool = False) -> set[str]:
        """The ids of the items that a grant allows."""
        table = SCHEMA.tables["Item"]
        condition = to_sql(grant.variant, columns, listing=listing)
        return {row[0] for row in self.run(select(table.c.id).where(condition), grant.parameters)}


def sql_text(condition: ColumnElement[bool]) -> str:
    return str(condition.compile(dialect=DIALECT))
