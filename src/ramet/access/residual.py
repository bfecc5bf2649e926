"""Partial evaluation: what remains of a rule once the caller's roles, and whether they are signed in, are known.

A residual is in negation normal form (`Not` stands only around a rule without parts, or an exists) and holds no
`HasRole`, no `OneOfRoles`, no condition on the caller alone, and `Fixed` only alone: as the whole, or in an exists.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

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
    operands_of,
    parts_of,
)

ROLE = "role_"
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Caller(Protocol):
    """Who asks. `id` is None for an anonymous caller."""

    @property
    def id(self) -> str | None: ...
    @property
    def roles(self) -> frozenset[str]: ...


def residual(rule: Rule, caller: Caller, negated: bool = False) -> Rule:
    """What remains of the rule, or of its negation, for this caller. The value of `me.id` stays open."""
    match rule:
        case Fixed(value):
            return Fixed(value != negated)
        case Not(part):
            return residual(part, caller, not negated)
        case AllOf(parts) | AnyOf(parts):
            joined = AllOf if isinstance(rule, AllOf) != negated else AnyOf
            return join(joined, [residual(part, caller, negated) for part in parts])
        case HasRole(names):
            return Fixed((not caller.roles.isdisjoint(names)) != negated)
        case Exists(resource, condition):
            inner = residual(condition, caller)
            return Fixed(negated) if inner == Fixed(False) else _leaf(Exists(resource, inner), negated)
        case OneOfRoles(operand):
            return _one_of_roles(operand, caller, negated)
        case _:
            return _condition(rule, caller, negated)


def join(kind: type[AllOf] | type[AnyOf], parts: Iterable[Rule]) -> Rule:
    """The simplest rule equal to all or any of the parts: flat, without repetition, constants or absorbed parts."""
    neutral, other = (Fixed(True), AnyOf) if kind is AllOf else (Fixed(False), AllOf)
    flat: dict[Rule, None] = {}
    for part in parts:
        if isinstance(part, Fixed):
            if part != neutral:
                return part
        elif isinstance(part, kind):
            flat.update(dict.fromkeys(part.parts))
        else:
            flat[part] = None
    # a & (a | b) is a, and a | (a & b) is a.
    kept = [part for part in flat if not (isinstance(part, other) and any(inner in flat for inner in part.parts))]
    if len(kept) < 2:
        return kept[0] if kept else neutral
    return kind(tuple(kept))


def walk(rule: Rule) -> Iterator[Rule]:
    """The rule and every rule inside it."""
    yield rule
    for part in parts_of(rule):
        yield from walk(part)


def _leaf(rule: Rule, negated: bool) -> Rule:
    return Not(rule) if negated else rule


def _one_of_roles(operand: Operand, caller: Caller, negated: bool) -> Rule:
    """Roles become role_0, role_1 …; the last repeats up to a power of two, so that few variants serve any number."""
    count = len(caller.roles)
    if not count:
        return Fixed(negated)
    width = 1 << (count - 1).bit_length()
    return _leaf(OneOf(operand, tuple(CallerValue(f"{ROLE}{place}") for place in range(width))), negated)


def _condition(rule: Rule, caller: Caller, negated: bool) -> Rule:
    operands = operands_of(rule)
    if isinstance(rule, IsNull):
        return Fixed((caller.id is None) != negated) if isinstance(rule.operand, CallerValue) else _leaf(rule, negated)
    if caller.id is None and CallerValue("id") in operands:
        return Fixed(negated)
    if any(isinstance(operand, FieldOf) for operand in operands):
        return _leaf(rule, negated)
    return Fixed(_holds(rule, [one.value if isinstance(one, Constant) else caller.id for one in operands]) != negated)


def _holds(rule: Rule, values: list[Any]) -> bool:
    """Whether a comparison holds, given its operands' values, none of which is null."""
    if isinstance(rule, Comparison):
        return COMPARE[rule.operator](*values)
    return values[0] in values[1:]


def is_id_check(rule: Rule) -> bool:
    """Whether a signed-in caller's id alone decides the rule."""
    operands = operands_of(rule)
    return (
        isinstance(rule, Comparison | OneOf)
        and CallerValue("id") in operands
        and not any(isinstance(operand, FieldOf) for operand in operands)
    )
