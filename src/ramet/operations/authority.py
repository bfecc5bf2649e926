"""May they: the rules of each resource compiled once, and bound to a caller for one operation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, true

from ramet.access.bind import Grant, RulePlan, Variant, compile_rule
from ramet.access.deciding import deciding_fields
from ramet.access.masking import UNMASKED, MaskGrant, MaskPlan
from ramet.access.sql import Columns, to_sql
from ramet.access.validate import validate
from ramet.data.reads import Guard, This
from ramet.declare.actions import ActionInfo
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.rules import Rule, everyone
from ramet.errors import Problem
from ramet.identity.caller import Caller

VERBS = {"read": "read", "list": "read", "create": "create", "update": "update", "delete": "delete"}
"""The rule of each verb. A list has that of reading, written in SQL for many records."""
UNGUARDED = Guard(identity="all", condition=None)
NOTHING: frozenset[str] = frozenset()
REMEMBERED = 10_000


class Permit:
    """What one caller may do with one resource by one rule.

    `guard` is the SQL to add and `values` its parameters; `refused` means no record at all, `always` every record;
    `key` holds exactly the attributes of the caller that the rules read; `tags` are those of a list by this rule;
    `reads_fields` are the fields the rule looks at, `closed` those that the caller may not filter or sort by.
    """

    __slots__ = ("always", "closed", "grant", "guard", "key", "mask", "reads_fields", "refused", "tags")

    def __init__(self, guard: Guard, grant: Grant | None, mask: MaskGrant, key: Any, tags: tuple[str, ...]) -> None:
        self.grant = grant
        self.mask = mask
        self.guard = guard
        self.key = key
        self.tags = tags
        self.closed = mask.closed
        if grant is None:
            self.refused, self.always, self.reads_fields = False, True, NOTHING
        else:
            variant = grant.variant
            self.refused, self.always, self.reads_fields = variant.never, variant.always, variant.reads_fields

    @property
    def variant(self) -> Variant | None:
        """What the rule asks of a record; None when there is no rule."""
        return None if self.grant is None else self.grant.variant

    @property
    def masked(self) -> bool:
        """Whether some callers do not see some fields."""
        return self.mask is not UNMASKED

    @property
    def values(self) -> dict[str, Any]:
        values = {} if self.grant is None else self.grant.parameters
        for grant in self.mask.conditional.values():
            values.update(grant.parameters)
        return values


class Authority:
    """Binds rules to callers. Guards are compiled once for each variant of a rule.

    Raises DeclarationError for rules that name what does not exist.
    """

    def __init__(self, catalog: Catalog, columns: Columns) -> None:
        self._columns = columns
        self._rules: dict[tuple[str, str], RulePlan] = {}
        self._masks: dict[str, MaskPlan] = {}
        self._guards: dict[Any, Guard] = {}
        self.deciding = deciding_fields({info.name: info.access for info in catalog})
        self._permits: dict[tuple[int, str, str], tuple[Caller, Permit]] = {}
        for info in catalog:
            validate(info, catalog)
            for verb, rule in VERBS.items():
                self._rules[info.name, verb] = compile_rule(getattr(info.access, rule), info.name)
            for name, rule in info.access.write_fields.items():
                self._rules[info.name, f"write:{name}"] = compile_rule(rule, info.name)
            for action in info.actions.values():
                self._rules[info.name, f"action:{action.name}"] = compile_rule(_rule_of(info, action), info.name)
            self._masks[info.name] = MaskPlan(info.access.fields, info.name)

    def permit(self, info: ResourceInfo, verb: str, caller: Caller) -> Permit:
        """What `caller` may do. The system may do everything.

        Permits are remembered by the caller object, which is the same one as long as a token is remembered.
        """
        key = (id(caller), info.name, verb)
        known = self._permits.get(key)
        if known is not None and known[0] is caller:
            return known[1]
        if len(self._permits) >= REMEMBERED:
            self._permits.clear()
        permit = self._bind(info, verb, caller)
        self._permits[key] = (caller, permit)
        return permit

    def _bind(self, info: ResourceInfo, verb: str, caller: Caller) -> Permit:
        if caller.via == "system":
            return Permit(UNGUARDED, None, UNMASKED, "system", (info.name,))
        grant = self._rules[info.name, verb].bind(caller)
        mask = self._masks[info.name].bind(caller)
        identity: Any = (info.name, verb, grant.variant.identifier)
        if mask is not UNMASKED:
            shown = tuple((name, inner.variant.fingerprint) for name, inner in mask.conditional.items())
            identity = (*identity, mask.always_hidden, shown)
        guard = self._guards.get(identity)
        if guard is None:
            guard = self._guards[identity] = self._guard(grant, mask, identity, listing=verb == "list")
        return Permit(guard, grant, mask, (grant.key, mask.key), _tags(info, grant, mask, caller))

    def action(self, info: ResourceInfo, action: ActionInfo, caller: Caller) -> Permit:
        """What `caller` may do with an action."""
        return self.permit(info, f"action:{action.name}", caller)

    def require(self, permit: Permit, caller: Caller, hidden: ResourceInfo | None = None) -> None:
        """Raises when the rule leaves the caller nothing: 401 for strangers, 403 for the signed-in.

        For an operation on a record of `hidden` it is 404 if the caller may read no record there at all.
        """
        if permit.refused:
            if caller.id is None:
                raise Problem("unauthenticated")
            if hidden is not None and self.permit(hidden, "read", caller).refused:
                raise Problem("not_found")
            raise Problem("forbidden")

    def condition(self, permit: Permit, this: This) -> ColumnElement[bool]:
        """The permit's rule as SQL on a record whose fields `this` gives, stored or not."""
        return true() if permit.variant is None else self.meaning(permit.variant, this)

    def meaning(self, variant: Variant, this: This) -> ColumnElement[bool]:
        """What a rule asks of a record whose fields `this` gives, as SQL."""
        return to_sql(variant, self._columns, this)

    def unwritable(self, info: ResourceInfo, caller: Caller) -> frozenset[str]:
        """The fields that the caller may give a value in no record."""
        stated = info.access.write_fields
        if not stated or caller.via == "system":
            return NOTHING
        return frozenset([name for name in stated if self.permit(info, f"write:{name}", caller).refused])

    def bounds(self, info: ResourceInfo, names: Iterable[str], caller: Caller) -> list[tuple[str, Permit]]:
        """Those of `names` that the caller may write in some records only, each with the permit that says which."""
        stated = info.access.write_fields
        if not stated or caller.via == "system":
            return []
        found = [(name, self.permit(info, f"write:{name}", caller)) for name in names if name in stated]
        return [(name, permit) for name, permit in found if not permit.always]

    def _guard(self, grant: Grant, mask: MaskGrant, identity: Any, *, listing: bool) -> Guard:
        variant = grant.variant
        condition = None if variant.always else to_sql(variant, self._columns, listing=listing)
        nulled = tuple((name, to_sql(inner.variant, self._columns)) for name, inner in mask.conditional.items())
        return Guard(identity, condition, mask.always_hidden, nulled)


def _rule_of(info: ResourceInfo, action: ActionInfo) -> Rule:
    """A public action lets everybody in; on a record, everybody who may read it."""
    if action.public:
        return everyone if action.on_collection else info.access.read
    return info.access.action(action.name, on_collection=action.on_collection)


def _tags(info: ResourceInfo, grant: Grant, mask: MaskGrant, caller: Caller) -> tuple[str, ...]:
    """Whose changes can alter a list by this rule: the finest tag for the resource, and those read by `exists`."""
    variant = grant.variant
    own = f"{info.name}:owner:{caller.id}" if variant.owner_bound else info.name
    others = set(variant.reads_resources)
    for inner in mask.conditional.values():
        others |= inner.variant.reads_resources
    return (own, *others) if others else (own,)
