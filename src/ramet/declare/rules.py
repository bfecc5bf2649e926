"""Who may do what: the expressions a team writes, and `Access`, which holds the rules of one resource.

    access = Access(read=(this.owner == me.id) | role("admin"), fields={"salary": role("hr")})

`this` is the record the rule decides about, at any depth. Inside `exists`, `that` is the record that is looked for;
in an `exists` within another one, `that` is the innermost record and `outer` the one just around it. `me` is the
caller. `exists` sees every record there is, whatever the access rules of its resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ramet.declare.expressions import (
    AllOf,
    CallerRecord,
    CallerValue,
    Exists,
    Fixed,
    HasRole,
    IsNull,
    Not,
    Record,
    Rule,
    as_rule,
    parts_of,
)
from ramet.declare.source import misused

__all__ = [
    "Access",
    "Rule",
    "everyone",
    "exists",
    "me",
    "nobody",
    "outer",
    "owner_only",
    "public_read",
    "read_only",
    "role",
    "roles_only",
    "signed_in",
    "that",
    "this",
]

MAX_EXISTS_DEPTH = 3

this: Final = Record("this")
that: Final = Record("that")
outer: Final = Record("outer")
me: Final = CallerRecord()
everyone: Final[Rule] = Fixed(True)
nobody: Final[Rule] = Fixed(False)
signed_in: Final[Rule] = Not(IsNull(CallerValue("id")))
OWNER: Final[Rule] = this.owner == me.id


def role(*names: str) -> Rule:
    """The caller has any of these roles."""
    if not names or not all(isinstance(name, str) and name for name in names):  # type: ignore[redundant-expr]  # teams may err
        raise misused(f"role{names!r}: name at least one role, as role('admin').")
    return HasRole(tuple(sorted(set(names))))


def exists(resource: type[object] | str, *conditions: Rule) -> Rule:
    """Some record of `resource` (a class or its name) meets every condition; its fields are `that.<field>`.

    Raises DeclarationError without conditions, or when nested deeper than three levels.
    """
    name = resource if isinstance(resource, str) else getattr(resource, "__name__", "")
    if not name:
        raise misused(f"exists({resource!r}, …) names no resource: give its class, or its name as text.")
    if not conditions:
        raise misused(f"exists({name!r}) has no conditions: add some, as that.owner == me.id.")
    parts = tuple(as_rule(condition) for condition in conditions)
    rule = Exists(name, parts[0] if len(parts) == 1 else AllOf(parts))
    if _depth(rule) > MAX_EXISTS_DEPTH:
        raise misused(
            f"exists({name!r}, …) nests exists more than {MAX_EXISTS_DEPTH} levels deep: "
            "keep the answer in a field of the record, set by a hook."
        )
    return rule


class Access:
    """The access rules of one resource. What is not stated belongs to the owner alone.

    - `read`: which records a caller sees. Not stated: their own.
    - `create`: decides on the record as it would be stored. Not stated: any signed-in caller.
    - `update`, `delete`: decide on the record as it stands. Not stated: the owner. Both contain `read`: whoever may
      not see a record may not change it.
    - `fields`: who sees a field's value; others get the record without it. Not stated: whoever sees the record.
    - `write_fields`: who may give a field a value. Not stated: whoever may see the field.
    - `actions`: who may call an action. Not stated: for an action on a record the same as `update`, for one on the
      collection any signed-in caller. For an action on a record it contains `read`.
    """

    __slots__ = ("actions", "create", "delete", "fields", "read", "update", "write_fields")

    def __init__(
        self,
        read: Rule = OWNER,
        create: Rule = signed_in,
        update: Rule = OWNER,
        delete: Rule = OWNER,
        *,
        fields: Mapping[str, Rule] | None = None,
        write_fields: Mapping[str, Rule] | None = None,
        actions: Mapping[str, Rule] | None = None,
    ) -> None:
        self.read = as_rule(read)
        self.create = as_rule(create)
        self.update = self.read & update
        self.delete = self.read & delete
        self.fields = _rules(fields)
        self.write_fields = {**self.fields, **_rules(write_fields)}
        self.actions = _rules(actions)

    def action(self, name: str, *, on_collection: bool = False) -> Rule:
        """The rule of an action."""
        stated = self.actions.get(name)
        if on_collection:
            return signed_in if stated is None else stated
        return self.update if stated is None else self.read & stated


def owner_only(
    also: Rule = nobody,
    *,
    fields: Mapping[str, Rule] | None = None,
    write_fields: Mapping[str, Rule] | None = None,
    actions: Mapping[str, Rule] | None = None,
) -> Access:
    """Any signed-in caller creates; only the owner reads and writes. `also` names others: `also=role("admin")`."""
    rule = OWNER | also
    return Access(rule, signed_in, rule, rule, fields=fields, write_fields=write_fields, actions=actions)


def public_read(
    write: Rule | None = None,
    *,
    fields: Mapping[str, Rule] | None = None,
    write_fields: Mapping[str, Rule] | None = None,
    actions: Mapping[str, Rule] | None = None,
) -> Access:
    """Everyone reads. Any signed-in caller creates and the owner changes; with `write`, whoever meets it does both."""
    create, change = (signed_in, OWNER) if write is None else (write, write)
    return Access(everyone, create, change, change, fields=fields, write_fields=write_fields, actions=actions)


def roles_only(
    *names: str,
    fields: Mapping[str, Rule] | None = None,
    write_fields: Mapping[str, Rule] | None = None,
    actions: Mapping[str, Rule] | None = None,
) -> Access:
    """Callers with one of these roles do everything, others nothing."""
    rule = role(*names)
    return Access(rule, rule, rule, rule, fields=fields, write_fields=write_fields, actions=actions)


def read_only(
    read: Rule = everyone,
    *,
    fields: Mapping[str, Rule] | None = None,
    actions: Mapping[str, Rule] | None = None,
) -> Access:
    """Whoever meets `read` reads; no caller writes. Records come from hooks, actions and the command line."""
    return Access(read, nobody, nobody, nobody, fields=fields, actions=actions)


def _rules(stated: Mapping[str, Rule] | None) -> dict[str, Rule]:
    if stated is not None and not isinstance(stated, Mapping):
        raise misused(f"{stated!r} are no rules by name: write {{'salary': role('hr')}}.")
    return {name: as_rule(rule) for name, rule in (stated or {}).items()}


def _depth(rule: Rule) -> int:
    """How many exists are nested in a rule."""
    inner = _deepest(parts_of(rule))
    return inner + 1 if isinstance(rule, Exists) else inner


def _deepest(rules: Iterable[Rule]) -> int:
    return max(map(_depth, rules), default=0)
