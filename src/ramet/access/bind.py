"""From a rule and a caller to a grant: what is left to ask of a record, and which facts about the caller it reads.

Rules are evaluated in part by the caller. Roles and signed-in checks become constants; what remains is one of a few
variants, found by a look-up. The grant's key holds exactly what the variant reads of the caller, so callers for whom
the rule means the same share cache entries, and others never do.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ramet.access.residual import ROLE, Caller, is_id_check, residual, walk
from ramet.declare.expressions import (
    AllOf,
    CallerValue,
    Comparison,
    Exists,
    FieldOf,
    Fixed,
    Rule,
    as_rule,
    operands_of,
)

OWNED = Comparison("==", FieldOf("this", "owner"), CallerValue("id"))
MAX_REMEMBERED = 4_096

__all__ = ["Caller", "Grant", "RulePlan", "Variant", "compile_rule"]


class Variant:
    """One residual of a rule.

    - `identifier` counts from 0 within its plan, in order of first use: for tables in this process.
    - `fingerprint` names the residual, the same in every process.
    - `attributes` are the facts about the caller that it reads, in order: `id`, then `role_0` …; `parameters` are their
      names in SQL.
    - `always`, `never`: it allows every record, or none.
    - `owner_bound`: it allows only records whose owner is the caller, so `resource:owner` tags are fine enough.
    - `reads_resources`: the resources looked into by `exists`; `reads_fields`: the fields read of the record itself.
    """

    __slots__ = (
        "always",
        "attributes",
        "fingerprint",
        "identifier",
        "needs_exists",
        "never",
        "owner_bound",
        "parameters",
        "reads_fields",
        "reads_resources",
        "resource",
        "rule",
    )

    def __init__(self, rule: Rule, resource: str, identifier: int) -> None:
        inside = list(walk(rule))
        operands = [operand for part in inside for operand in operands_of(part)]
        self.rule = rule
        self.resource = resource
        self.identifier = identifier
        self.fingerprint = hashlib.blake2b(repr(rule).encode(), digest_size=12).hexdigest()
        read = {one.name for one in operands if isinstance(one, CallerValue)}
        self.attributes = tuple(sorted(read, key=lambda name: (name != "id", len(name), name)))
        self.parameters = tuple(f"me_{name}" for name in self.attributes)
        self.always = rule == Fixed(True)
        self.never = rule == Fixed(False)
        self.owner_bound = rule == OWNED or (isinstance(rule, AllOf) and OWNED in rule.parts)
        self.reads_resources = frozenset(part.resource for part in inside if isinstance(part, Exists))
        self.reads_fields = frozenset(one.field for one in operands if isinstance(one, FieldOf) and one.scope == "this")
        self.needs_exists = bool(self.reads_resources)

    def __repr__(self) -> str:
        return f"<variant {self.identifier} of {self.resource}: {self.rule!r}>"


class Grant(msgspec.Struct, frozen=True, gc=False):
    """What a rule means for one caller. `key` is the variant's fingerprint and the values it reads of the caller."""

    variant: Variant
    key: tuple[str | None, ...]

    @property
    def values(self) -> dict[str, Any]:
        """The caller's values by attribute, as `to_python` wants them."""
        return dict(zip(self.variant.attributes, self.key[1:], strict=True))

    @property
    def parameters(self) -> dict[str, Any]:
        """The caller's values by the names of `to_sql`: `me_id` …"""
        return dict(zip(self.variant.parameters, self.key[1:], strict=True))


class _Meaning:
    """What is remembered for one set of roles: the grant, or what makes one when the caller's id is read."""

    __slots__ = ("fingerprint", "grant", "roles", "variant")

    def __init__(self, variant: Variant, roles: frozenset[str]) -> None:
        ordered = sorted(roles)
        places = [int(name.removeprefix(ROLE)) for name in variant.attributes if name != "id"]
        self.variant = variant
        self.fingerprint = variant.fingerprint
        # Places past the last role repeat it: see `residual`.
        self.roles = tuple([ordered[min(place, len(ordered) - 1)] for place in places])
        reads_id = "id" in variant.attributes
        self.grant = None if reads_id else Grant(variant, (variant.fingerprint, *self.roles))


class RulePlan:
    """One rule of one resource, ready to be bound to callers."""

    __slots__ = ("_anonymous", "_id_checks", "_signed_in", "_variants", "resource", "rule")

    def __init__(self, rule: Rule, resource: str) -> None:
        self.rule = rule
        self.resource = resource
        self._variants: dict[Rule, Variant] = {}
        self._anonymous: dict[Any, _Meaning] = {}
        self._signed_in: dict[Any, _Meaning] = {}
        self._id_checks = tuple(part for part in walk(rule) if is_id_check(part))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants met so far, by identifier."""
        return tuple(self._variants.values())

    @property
    def remembered(self) -> int:
        """How many sets of roles are remembered, at most twice MAX_REMEMBERED."""
        return len(self._anonymous) + len(self._signed_in)

    def bind(self, caller: Caller) -> Grant:
        """The grant of a caller. Takes well under a microsecond once the caller's roles have been seen."""
        identity = caller.id
        if identity is None:
            meaning = self._anonymous.get(caller.roles) or self._learn(self._anonymous, caller.roles, caller)
        elif not self._id_checks:
            meaning = self._signed_in.get(caller.roles) or self._learn(self._signed_in, caller.roles, caller)
        else:
            known = (caller.roles, tuple([residual(check, caller) for check in self._id_checks]))
            meaning = self._signed_in.get(known) or self._learn(self._signed_in, known, caller)
        grant = meaning.grant
        if grant is not None:
            return grant
        return Grant(meaning.variant, (meaning.fingerprint, identity, *meaning.roles))

    def _learn(self, remembered: dict[Any, _Meaning], known: Any, caller: Caller) -> _Meaning:
        rule = residual(self.rule, caller)
        variant = self._variants.get(rule)
        if variant is None:
            variant = self._variants[rule] = Variant(rule, self.resource, len(self._variants))
        if len(remembered) >= MAX_REMEMBERED:
            remembered.clear()
        meaning = remembered[known] = _Meaning(variant, caller.roles)
        return meaning


def compile_rule(rule: Rule, resource_name: str) -> RulePlan:
    """The plan of a rule over the records of a resource (by class name)."""
    return RulePlan(as_rule(rule), resource_name)
