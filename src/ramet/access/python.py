"""From a variant to a Python function on record objects, for what is decided without the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ramet.access.bind import Variant
from ramet.declare.expressions import (
    AllOf,
    AnyOf,
    CallerValue,
    Comparison,
    Constant,
    FieldOf,
    Fixed,
    IsNull,
    Not,
    OneOf,
    Operand,
    Rule,
)

Predicate = Callable[[Any, Mapping[str, Any]], bool]


def to_python(variant: Variant) -> Predicate:
    """A function of a record (its fields are attributes) and `Grant.values`: whether the variant allows the record.

    Raises ValueError when `variant.needs_exists`: only the database can answer that.
    """
    if variant.needs_exists:
        raise ValueError(f"{variant.rule!r} looks into {', '.join(sorted(variant.reads_resources))}: ask the database")
    constants: dict[str, Any] = {}
    source = _source(variant.rule, constants)
    # The text holds operators, names of fields, which are identifiers, and names of constants: nothing from outside.
    predicate: Predicate = eval(f"lambda this, me: {source}", {"__builtins__": {}, **constants})
    return predicate


def _source(rule: Rule, constants: dict[str, Any]) -> str:
    """The rule as a Python expression; what it needs beside `this` and `me` goes into `constants`."""
    match rule:
        case Fixed(value):
            return str(value)
        case AllOf(parts):
            return f"({' and '.join([_source(part, constants) for part in parts])})"
        case AnyOf(parts):
            return f"({' or '.join([_source(part, constants) for part in parts])})"
        case Not(part):
            return f"(not {_source(part, constants)})"
        case IsNull(operand):
            return f"({_name(operand, constants)} is None)"
        case OneOf(operand, values):
            listed = "".join([_name(value, constants) + "," for value in values])
            return f"({_name(operand, constants)} in ({listed}))"
        case Comparison(operator, left, right):
            compared = f"{_name(left, constants)} {operator} {_name(right, constants)}"
            # A value on the right is never null, and nothing equals it but a value.
            known = [right] if operator == "==" else [left, right]
            checks = [f"{_name(one, constants)} is not None and " for one in known if isinstance(one, FieldOf)]
            return f"({''.join(checks)}{compared})"
        case _:
            raise TypeError(f"{rule!r} is not part of a residual")


def _name(operand: Operand, constants: dict[str, Any]) -> str:
    match operand:
        case FieldOf(_, field):
            if not field.isidentifier():
                raise ValueError(f"{field!r} is not the name of a field")
            return f"this.{field}"
        case CallerValue(name):
            return f"me[{name!r}]"
        case Constant(value):
            label = f"c{len(constants)}"
            constants[label] = value
            return label
