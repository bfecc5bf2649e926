"""From a variant to SQL: one boolean expression for a WHERE clause, in any dialect of SQLAlchemy.

Negation stands only at the leaves of a residual, so null needs care only there: a positive comparison is written
bare, which keeps indexes usable (null is not true, as in the rule), and a negated one also admits null. The whole is
true exactly where the rule holds, and false or null elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, false, literal_column, not_, or_, select, true

from ramet.access.bind import Variant
from ramet.access.residual import COMPARE
from ramet.declare.expressions import (
    AllOf,
    AnyOf,
    CallerValue,
    Comparison,
    Exists,
    FieldOf,
    Fixed,
    IsNull,
    Not,
    OneOf,
    Operand,
    Rule,
    Scope,
    operands_of,
    parts_of,
)

NEGATED = {"==": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {**COMPARE, "!=": lambda left, right: left != right}

Column = ColumnElement[Any]
Condition = ColumnElement[bool]


class ResourceColumns(Protocol):
    """How a resource is stored: its table or an alias of it, with columns keyed by field, and its storage values."""

    @property
    def table(self) -> FromClause: ...
    def bind(self, field: str, value: Any, /) -> Any:
        """The storage value of a field's value. The order of storage values is that of the values."""


Columns = Callable[[str], ResourceColumns]


def to_sql(
    variant: Variant, columns: Columns, this: Callable[[str], Column] | None = None, *, listing: bool = False
) -> Condition:
    """The condition that the variant puts on a record.

    `columns` says how a resource is stored, by class name. The caller's values are bound parameters named as in
    `variant.parameters`, given at execution from `Grant.parameters`; a store that keeps ids otherwise than as text
    converts them. `this` gives the record's fields when it is not (yet) a row of its table, e.g. as bound parameters.

    `listing` is for statements that look for many records: an exists tied to its record by one equality is then
    written as `field IN (SELECT …)`, so that a list costs what the caller may see, not what there is (a thousandth for
    someone who shares a few of 200,000 records). Without it one record costs one look-up in the other table.
    """
    record = columns(variant.resource)
    return _Writer(columns, listing).write(
        variant.rule, (_Sight(this or record.table.c.__getitem__, record.bind),), True
    )


class _Sight(NamedTuple):
    """One record in sight: its columns by field, and the conversion of its values."""

    column: Callable[[str], Column]
    bind: Callable[[str, Any], Any]


# The record of the rule first, the innermost exists last.
Scopes = tuple[_Sight, ...]
_PLACES = {"this": 0, "that": -1, "outer": -2}


class _Tie(NamedTuple):
    """An exists whose record is tied by `that.found_field == record_field` of the record around it, and else free."""

    found_field: str
    record_field: str
    rest: Rule


def _tie(condition: Rule, around: Scope) -> _Tie | None:
    parts = condition.parts if isinstance(condition, AllOf) else (condition,)
    for place, part in enumerate(parts):
        if not isinstance(part, Comparison) or part.operator != "==":
            continue
        ends = {end.scope: end.field for end in (part.left, part.right) if isinstance(end, FieldOf)}
        rest = parts[:place] + parts[place + 1 :]
        if ends.keys() == {"that", around} and not any(_looks_out(other) for other in rest):
            return _Tie(ends["that"], ends[around], AllOf(rest) if rest else Fixed(True))
    return None


def _looks_out(rule: Rule, inside: bool = False) -> bool:
    """Whether a condition of an exists reads a record outside it; `outer` does not when it stands in a further one."""
    if any(
        isinstance(one, FieldOf) and (one.scope == "this" or (one.scope == "outer" and not inside))
        for one in operands_of(rule)
    ):
        return True
    return any(_looks_out(part, inside or isinstance(rule, Exists)) for part in parts_of(rule))


class _Writer:
    def __init__(self, columns: Columns, listing: bool) -> None:
        self.columns = columns
        self.listing = listing

    def write(self, rule: Rule, scopes: Scopes, closed: bool) -> Condition:
        """`closed`: a null that a NOT NULL column holds against its declaration would refuse access, not give it."""
        match rule:
            case Fixed(value):
                return true() if value else false()
            case AllOf(parts):
                return and_(*[self.write(part, scopes, closed) for part in parts])
            case AnyOf(parts):
                return or_(*[self.write(part, scopes, closed) for part in parts])
            case Not(Exists(resource, condition)):
                return not_(self._exists(resource, condition, scopes, False))
            case Exists(resource, condition):
                tie = _tie(condition, "outer" if scopes[1:] else "this") if self.listing else None
                if tie is not None:
                    return self._among(resource, tie, scopes, closed)
                return self._exists(resource, condition, scopes, closed)
            case Not(IsNull(operand)):
                return self._operand(operand, scopes).is_not(None)
            case IsNull(operand):
                return self._operand(operand, scopes).is_(None)
            case Not(part):
                missing = self._missing(part, scopes, closed)
                return or_(self._leaf(part, scopes, True), *missing)
            case _:
                return self._leaf(rule, scopes, False)

    def _exists(self, resource: str, condition: Rule, scopes: Scopes, closed: bool) -> Condition:
        stored = self.columns(resource)
        table = stored.table.alias()
        inner = self.write(condition, (*scopes, _Sight(table.c.__getitem__, stored.bind)), closed)
        return select(literal_column("1")).select_from(table).where(inner).correlate_except(table).exists()

    def _among(self, resource: str, tie: _Tie, scopes: Scopes, closed: bool) -> Condition:
        stored = self.columns(resource)
        table = stored.table.alias()
        rest = self.write(tie.rest, (*scopes, _Sight(table.c.__getitem__, stored.bind)), closed)
        return scopes[-1].column(tie.record_field).in_(select(table.c[tie.found_field]).where(rest))

    def _leaf(self, rule: Rule, scopes: Scopes, negated: bool) -> Condition:
        match rule:
            case Comparison(operator, left, right):
                name = NEGATED[operator] if negated else operator
                condition: Condition = OPERATORS[name](
                    self._operand(left, scopes), self._operand(right, scopes, beside=left)
                )
                return condition
            case OneOf(operand, values):
                column = self._operand(operand, scopes)
                listed = [self._operand(value, scopes, beside=operand) for value in values]
                return column.not_in(listed) if negated else column.in_(listed)
            case _:
                raise TypeError(f"{rule!r} is not part of a residual")

    def _missing(self, rule: Rule, scopes: Scopes, closed: bool) -> list[Condition]:
        """The conditions under which a comparison's negation holds because a field is null."""
        fields = dict.fromkeys(operand for operand in operands_of(rule) if isinstance(operand, FieldOf))
        found = [self._operand(field, scopes) for field in fields]
        return [column.is_(None) for column in found if not closed or getattr(column, "nullable", True)]

    def _operand(self, operand: Operand, scopes: Scopes, beside: Operand | None = None) -> Column:
        """The operand; a value takes the type and storage form of the field `beside` it."""
        if isinstance(operand, FieldOf):
            return scopes[_PLACES[operand.scope]].column(operand.field)
        if not isinstance(beside, FieldOf):
            raise TypeError(f"{operand!r} stands beside no field")
        scope = scopes[_PLACES[beside.scope]]
        kind = scope.column(beside.field).type
        if isinstance(operand, CallerValue):
            return bindparam(f"me_{operand.name}", type_=kind)
        return bindparam(None, scope.bind(beside.field, operand.value), type_=kind, unique=True)
