"""Which fields of which resource can, by changing, alter who may read a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ramet.declare.expressions import Exists, FieldOf, Rule, operands_of, parts_of
from ramet.declare.rules import Access

FIXED = frozenset({"id", "owner", "created_at"})
"""Fields that never change."""
ALWAYS = frozenset({"updated_at", "version"})
"""Fields that every update changes."""


def deciding_fields(accesses: Mapping[str, Access]) -> dict[str, frozenset[str]]:
    """By resource, the fields that its rule of reading asks of its own records, and those that an `exists` asks."""
    found: dict[str, set[str]] = {name: set() for name in accesses}
    for name, access in accesses.items():
        _collect(access.read, (name,), found, first=0)
        for rule in access.fields.values():
            # A field that is shown or not leaves the record in view: only what others tell of it matters.
            _collect(rule, (name,), found, first=1)
    return {name: frozenset(fields - FIXED) for name, fields in found.items()}


def decides(fields: frozenset[str], changed: Iterable[str]) -> bool:
    """Whether an update of `changed` touches any of a resource's deciding `fields`."""
    return bool(fields) and not (fields.isdisjoint(changed) and fields.isdisjoint(ALWAYS))


def _collect(rule: Rule, sights: tuple[str, ...], found: dict[str, set[str]], first: int) -> None:
    """`sights` are the resources in sight: the rule's own, then those of exists; `first` is the first that is meant."""
    if isinstance(rule, Exists):
        _collect(rule.condition, (*sights, rule.resource), found, first)
        return
    for operand in operands_of(rule):
        if isinstance(operand, FieldOf):
            place = {"this": 0, "that": len(sights) - 1, "outer": len(sights) - 2}[operand.scope]
            if place >= first and sights[place] in found:
                found[sights[place]].add(operand.field)
    for part in parts_of(rule):
        _collect(part, sights, found, first)
