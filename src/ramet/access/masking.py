"""Which fields a caller does not get to see, in every record or in some."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from ramet.access.bind import Caller, Grant, RulePlan, Variant, compile_rule
from ramet.access.python import Predicate, to_python
from ramet.declare.expressions import Rule

NOTHING: frozenset[str] = frozenset()
NO_ANSWERS: Mapping[str, bool] = MappingProxyType({})


class MaskGrant(msgspec.Struct, frozen=True):
    """What is hidden from one caller.

    - `always_hidden`: fields hidden in every record.
    - `conditional`: for fields that some records may show, the grant whose variant decides.
    - `by_query`: those of `conditional` that only the database can decide (`to_sql` of the grant's variant).
    - `closed`: all of these; the caller may not filter, sort or search by them, which would tell their values.
    - `key`: hashable, equal for callers who see the same; the empty tuple when nothing is masked for anyone.
    """

    always_hidden: frozenset[str]
    conditional: Mapping[str, Grant]
    by_query: frozenset[str]
    closed: frozenset[str]
    key: tuple[Any, ...]
    tests: tuple[tuple[str, Predicate, Mapping[str, Any]], ...]

    def hidden(self, record: Any, answers: Mapping[str, bool] = NO_ANSWERS) -> frozenset[str]:
        """The fields hidden in a record. `answers` are the database's for `by_query`; without one a field is hidden."""
        if not self.conditional:
            return self.always_hidden
        closed = [field for field, allows, values in self.tests if not allows(record, values)]
        closed += [field for field in self.by_query if not answers.get(field)]
        return self.always_hidden.union(closed) if closed else self.always_hidden


UNMASKED = MaskGrant(NOTHING, {}, NOTHING, NOTHING, (), ())


class MaskPlan:
    """The read rules of a resource's fields (`Access.fields`), ready to be bound to callers."""

    __slots__ = ("_plans", "_predicates", "_shared")

    def __init__(self, fields: Mapping[str, Rule], resource_name: str) -> None:
        self._plans: tuple[tuple[str, RulePlan], ...] = tuple(
            (field, compile_rule(rule, resource_name)) for field, rule in sorted(fields.items())
        )
        self._predicates: dict[Variant, Predicate] = {}
        self._shared: dict[tuple[int, ...], MaskGrant] = {}

    def bind(self, caller: Caller) -> MaskGrant:
        """What is hidden from a caller. Costs nothing for a resource without field rules."""
        if not self._plans:
            return UNMASKED
        grants = [plan.bind(caller) for _, plan in self._plans]
        shape = tuple([grant.variant.identifier for grant in grants])
        shared = self._shared.get(shape)
        if shared is not None:
            return shared
        made = self._make({field: grant for (field, _), grant in zip(self._plans, grants, strict=True)})
        if not made.conditional:
            self._shared[shape] = made
        return made

    def _make(self, grants: Mapping[str, Grant]) -> MaskGrant:
        hidden = frozenset(field for field, grant in grants.items() if grant.variant.never)
        conditional = {
            field: grant for field, grant in grants.items() if not (grant.variant.never or grant.variant.always)
        }
        by_query = frozenset(field for field, grant in conditional.items() if grant.variant.needs_exists)
        return MaskGrant(
            always_hidden=hidden,
            conditional=conditional,
            by_query=by_query,
            closed=hidden.union(conditional),
            key=tuple([grant.key for grant in grants.values()]),
            tests=tuple(
                (field, self._predicate(grant.variant), grant.values)
                for field, grant in conditional.items()
                if field not in by_query
            ),
        )

    def _predicate(self, variant: Variant) -> Predicate:
        found = self._predicates.get(variant)
        if found is None:
            found = self._predicates[variant] = to_python(variant)
        return found
