"""The parts of a rule, as plain data, and the objects a team builds them with.

A rule is two-valued. A comparison with null is never true: `a == b` holds when both have a value and the values are
equal; `a != b` is exactly its negation, as `~rule` is the exact negation of any rule. `is_null()` asks for null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from keyword import iskeyword
from typing import Any, Literal

from ramet.declare.source import misused
from ramet.errors import DeclarationError

Value = str | int | float | bool | Decimal | date | datetime
Scope = Literal["this", "that", "outer"]
Operator = Literal["==", "<", "<=", ">", ">="]
MIRRORED: dict[Operator, Operator] = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
PARENTHESES = "Python joins & | before it compares: put each comparison in parentheses, (this.a == 1) | (this.b == 2)."


class Rule:
    """A condition on a record and a caller. Join rules with `&` (and), `|` (or) and `~` (not)."""

    __slots__ = ()

    def __and__(self, other: Rule) -> Rule:
        return AllOf((as_rule(self), as_rule(other)))

    def __or__(self, other: Rule) -> Rule:
        return AnyOf((as_rule(self), as_rule(other)))

    # A value on the left is a comparison without its parentheses: `this.n == 1 | rule`.
    def __rand__(self, other: Rule) -> Rule:
        return as_rule(other) & self

    def __ror__(self, other: Rule) -> Rule:
        return as_rule(other) | self

    def __invert__(self) -> Rule:
        return Not(as_rule(self))

    def __bool__(self) -> bool:
        raise misused(
            f"{self!r} is a rule, which has no truth of its own: join rules with & | ~ instead of and, or, not, "
            "if or a chained comparison, and write .in_([...]) instead of in."
        )


@dataclass(frozen=True, slots=True, repr=False)
class FieldOf:
    """A field of the record that `scope` names."""

    scope: Scope
    field: str

    def __repr__(self) -> str:
        return f"{self.scope}.{self.field}"


@dataclass(frozen=True, slots=True, repr=False)
class CallerValue:
    """An attribute of the caller: `id`, or `role_0`, `role_1` … for the caller's roles in order."""

    name: str

    def __repr__(self) -> str:
        return f"me.{self.name}"


@dataclass(frozen=True, slots=True, repr=False)
class Constant:
    """A value that stands in the declaration."""

    value: Value

    def __repr__(self) -> str:
        return repr(self.value)


Operand = FieldOf | CallerValue | Constant


@dataclass(frozen=True, slots=True, repr=False)
class Fixed(Rule):
    """True or false whoever asks."""

    value: bool

    def __repr__(self) -> str:
        return "everyone" if self.value else "nobody"


@dataclass(frozen=True, slots=True, repr=False)
class HasRole(Rule):
    """The caller has one of the roles `names`."""

    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"role({', '.join(map(repr, self.names))})"


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Rule):
    """Both operands have a value and `left operator right` holds."""

    operator: Operator
    left: Operand
    right: Operand

    def __repr__(self) -> str:
        return f"({self.left!r} {self.operator} {self.right!r})"


@dataclass(frozen=True, slots=True, repr=False)
class OneOf(Rule):
    """The operand equals one of `values`, none of which is a field."""

    operand: Operand
    values: tuple[Operand, ...]

    def __repr__(self) -> str:
        return f"{self.operand!r}.in_([{', '.join(map(repr, self.values))}])"


@dataclass(frozen=True, slots=True, repr=False)
class OneOfRoles(Rule):
    """The operand equals one of the caller's roles."""

    operand: Operand

    def __repr__(self) -> str:
        return f"{self.operand!r}.in_(me.roles)"


@dataclass(frozen=True, slots=True, repr=False)
class IsNull(Rule):
    """The operand has no value."""

    operand: Operand

    def __repr__(self) -> str:
        return f"{self.operand!r}.is_null()"


@dataclass(frozen=True, slots=True, repr=False)
class Exists(Rule):
    """Some record of `resource` meets `condition`."""

    resource: str
    condition: Rule

    def __repr__(self) -> str:
        return f"exists({self.resource!r}, {self.condition!r})"


@dataclass(frozen=True, slots=True, repr=False)
class AllOf(Rule):
    """Every part holds."""

    parts: tuple[Rule, ...]

    def __repr__(self) -> str:
        return f"({' & '.join(map(repr, self.parts))})"


@dataclass(frozen=True, slots=True, repr=False)
class AnyOf(Rule):
    """At least one part holds."""

    parts: tuple[Rule, ...]

    def __repr__(self) -> str:
        return f"({' | '.join(map(repr, self.parts))})"


@dataclass(frozen=True, slots=True, repr=False)
class Not(Rule):
    """The part does not hold."""

    part: Rule

    def __repr__(self) -> str:
        return f"~{self.part!r}"


class CallerRoles:
    """`me.roles`: goes into `this.field.in_(me.roles)`. To ask for a role by name, write `role("admin")`."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        raise misused(f"{name!r} in me.roles has no answer before there is a caller: write role({name!r}).")

    def __repr__(self) -> str:
        return "me.roles"


class Comparable:
    """What can be compared: a field or `me.id`. Comparisons give a Rule."""

    __slots__ = ("_operand",)
    __hash__ = None  # type: ignore[assignment]  # `==` makes a rule, so this can't be a key

    def __init__(self, operand: FieldOf | CallerValue) -> None:
        self._operand = operand

    def __repr__(self) -> str:
        return repr(self._operand)

    def __eq__(self, other: object) -> Rule:  # type: ignore[override]  # a rule, not a bool
        return IsNull(self._operand) if other is None else _compare("==", self._operand, other)

    def __ne__(self, other: object) -> Rule:  # type: ignore[override]  # a rule, not a bool
        return Not(self == other)

    def __lt__(self, other: Value | Comparable) -> Rule:
        return _compare("<", self._operand, other)

    def __le__(self, other: Value | Comparable) -> Rule:
        return _compare("<=", self._operand, other)

    def __gt__(self, other: Value | Comparable) -> Rule:
        return _compare(">", self._operand, other)

    def __ge__(self, other: Value | Comparable) -> Rule:
        return _compare(">=", self._operand, other)

    def in_(self, values: Iterable[Value | Comparable] | CallerRoles) -> Rule:
        """One of the values; one of the caller's roles for `me.roles`. An empty list is never met."""
        if isinstance(values, CallerRoles):
            if isinstance(self._operand, CallerValue):
                raise misused(f"{self!r}.in_(me.roles) compares an id with roles: write role('admin').")
            return OneOfRoles(self._operand)
        if isinstance(values, str):
            raise misused(f"{self!r}.in_({values!r}): give a list of values, as .in_([{values!r}]).")
        place = f"{self!r}.in_"
        operands = tuple(dict.fromkeys(_operand(value, place) for value in values))
        equal = [_compare("==", self._operand, operand) for operand in operands]
        if len(equal) < 2:
            return equal[0] if equal else Fixed(False)
        constant = all(isinstance(operand, Constant) for operand in operands)
        return OneOf(self._operand, operands) if constant else AnyOf(tuple(equal))

    def is_null(self) -> Rule:
        """It has no value."""
        return IsNull(self._operand)


class FieldExpression(Comparable, Rule):
    """A field of a record. Alone, where a rule is expected, it means that a boolean field is true."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise misused(f"{self!r} has no value before there is a record: join rules with & | ~.")


class CallerExpression(Comparable):
    """`me.id`: null for an anonymous caller."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise misused(f"{self!r} has no value before there is a caller: write signed_in, and join with & | ~.")

    def _refuse_joining(self, other: object) -> Any:
        raise misused(f"{self!r} is not a rule. {PARENTHESES}")

    __and__ = __or__ = __rand__ = __ror__ = _refuse_joining


class Record:
    """`this`, `that` or `outer`: its attributes are the fields of a record, whatever their names."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope: Scope = scope

    def __getattr__(self, name: str) -> FieldExpression:
        if name.startswith("_"):
            raise AttributeError(name)
        if not name.isidentifier() or iskeyword(name):
            raise misused(f"{self._scope}.{name} is not the name of a field.")
        return FieldExpression(FieldOf(self._scope, name))


class NotOfCaller(DeclarationError, AttributeError):
    """Python's own error too, so that `hasattr` answers."""


class CallerRecord:
    """`me`: the caller."""

    __slots__ = ()

    @property
    def id(self) -> CallerExpression:
        """The caller's id; null when nobody is signed in."""
        return CallerExpression(CallerValue("id"))

    @property
    def roles(self) -> CallerRoles:
        """The caller's roles, for `this.field.in_(me.roles)`."""
        return CallerRoles()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        wrong = misused(f"me.{name} is not known of a caller: write me.id, me.roles or role({name!r}).")
        raise NotOfCaller(str(wrong))


def as_rule(value: object) -> Rule:
    """The rule itself; for a boolean field, that it is true. Raises DeclarationError for anything else."""
    if isinstance(value, FieldExpression):
        return Comparison("==", value._operand, Constant(True))
    if isinstance(value, Rule):
        return value
    if isinstance(value, bool):
        raise misused(f"{value} is not a rule: write {'everyone' if value else 'nobody'}. {PARENTHESES}")
    raise misused(f"{value!r} is not a rule. {PARENTHESES}")


def _compare(operator: Operator, left: Operand, other: object) -> Rule:
    right = _operand(other, f"{left!r} {operator}")
    if isinstance(right, FieldOf) and not isinstance(left, FieldOf):
        return Comparison(MIRRORED[operator], right, left)
    if isinstance(left, CallerValue) and isinstance(right, Constant) and not isinstance(right.value, str):
        raise misused(f"{left!r} {operator} {right!r}: an id is text; compare it with text.")
    return Comparison(operator, left, right)


def _operand(value: object, place: str) -> Operand:
    """The operand for what a team wrote on the right of `place`."""
    if isinstance(value, FieldOf | CallerValue | Constant):
        return value
    if isinstance(value, Comparable):
        return value._operand
    if isinstance(value, Rule):
        raise misused(f"{place} {value!r} compares with a rule. {PARENTHESES}")
    if value is None:
        raise misused(f"{place} None is never true: ask for a missing value with .is_null().")
    if isinstance(value, Enum):
        return _operand(value.value, place)
    if isinstance(value, datetime):
        return Constant(_moment(value, place))
    if not isinstance(value, str | int | float | Decimal | date):
        raise misused(f"{place} {value!r}: rules compare text, numbers, booleans, days and moments only.")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise misused(f"{place} {value!r} is not a number: compare with a finite one.")
    return Constant(value)


def _moment(value: datetime, place: str) -> datetime:
    if value.tzinfo is None:
        raise misused(f"{place} {value!r} has no time zone: write datetime(..., tzinfo=UTC).")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise misused(f"{place} {value!r} lies outside the years 1 to 9999 in UTC.") from None


def parts_of(rule: Rule) -> tuple[Rule, ...]:
    """The rules directly inside a rule."""
    match rule:
        case AllOf(parts) | AnyOf(parts):
            return parts
        case Not(part) | Exists(_, part):
            return (part,)
        case _:
            return ()


def operands_of(rule: Rule) -> tuple[Operand, ...]:
    """The operands of a rule that has no parts."""
    match rule:
        case Comparison(_, left, right):
            return (left, right)
        case OneOf(operand, values):
            return (operand, *values)
        case OneOfRoles(operand) | IsNull(operand):
            return (operand,)
        case _:
            return ()
