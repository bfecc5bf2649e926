"""Whether a record that a rule looks into by `exists` can be what the rule finds, as far as that record tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ramet.access.residual import COMPARE, walk
from ramet.declare.expressions import (
    AllOf,
    AnyOf,
    CallerValue,
    Comparison,
    Constant,
    Exists,
    FieldOf,
    Fixed,
    IsNull,
    Not,
    OneOf,
    Operand,
    Rule,
)

_UNKNOWN = object()


def may_concern(rule: Rule, resource: str, record: Any, me: Mapping[str, Any]) -> bool:
    """Whether some `exists(resource, …)` in a residual could be met by `record` for the caller with the values `me`.

    What depends on other records is taken as possible: Kleene's three-valued logic.
    """
    return any(
        isinstance(part, Exists) and part.resource == resource and _holds(part.condition, record, me) is not False
        for part in walk(rule)
    )


def _holds(rule: Rule, record: Any, me: Mapping[str, Any]) -> bool | None:
    """True, false, or None for unknown."""
    match rule:
        case Fixed(value):
            return value
        case Not(part):
            inner = _holds(part, record, me)
            return None if inner is None else not inner
        case AllOf(parts) | AnyOf(parts):
            answers: list[bool | None] = [_holds(part, record, me) for part in parts]
            decisive = isinstance(rule, AnyOf)
            if decisive in answers:
                return decisive
            return None if None in answers else not decisive
        case Comparison(operator, left, right):
            values = (_value(left, record, me), _value(right, record, me))
            if None in values:
                return False
            return None if any(one is _UNKNOWN for one in values) else COMPARE[operator](*values)
        case OneOf(operand, others):
            value = _value(operand, record, me)
            if value is _UNKNOWN:
                return None
            if value is None:
                return False
            return value in [_value(other, record, me) for other in others]
        case IsNull(operand):
            value = _value(operand, record, me)
            return None if value is _UNKNOWN else value is None
        case _:
            return None


def _value(operand: Operand, record: Any, me: Mapping[str, Any]) -> Any:
    match operand:
        case FieldOf("that", field):
            return getattr(record, field, _UNKNOWN)
        case CallerValue(name):
            return me[name]
        case Constant(value):
            return value
    return _UNKNOWN
