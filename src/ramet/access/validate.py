"""Refuses rules that name what does not exist, or compare what can't be equal, before anything is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

import msgspec

from ramet.access.residual import walk
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.expressions import (
    CallerValue,
    Comparison,
    Constant,
    Exists,
    FieldOf,
    IsNull,
    OneOfRoles,
    Operand,
    Rule,
    operands_of,
    parts_of,
)
from ramet.declare.fields.base import Field
from ramet.declare.names import nearest
from ramet.declare.source import refuse

TEXT = "text"
NUMBERS = frozenset({"integer", "real"})


def validate(info: ResourceInfo, catalog: Catalog) -> None:
    """Checks every rule of a resource's `access`. Raises DeclarationError naming file, class and rule, and the mend."""
    access = info.access
    _check_names(info, "fields", access.fields, info.fields, "field")
    _check_names(info, "write_fields", access.write_fields, info.fields, "field")
    _check_names(info, "actions", access.actions, info.actions, "action")
    for field in ("id", "version"):
        if field in access.fields:
            refuse(info.cls, "access.fields", f"every record shows its {field}: take '{field}' out")
    rules = {"read": access.read, "create": access.create, "update": access.update, "delete": access.delete}
    for group in ("fields", "write_fields", "actions"):
        rules.update({f"{group}[{name!r}]": rule for name, rule in getattr(access, group).items()})
    for place, rule in rules.items():
        _Check(info, catalog, f"access.{place}").rule(rule, (info,))
    for name, action in info.actions.items():
        if action.on_collection and name in access.actions and _reads_record(access.actions[name]):
            refuse(
                info.cls,
                f"access.actions[{name!r}]",
                f"{name} runs on the collection, so there is no record to be `this`: use me, role or exists",
            )


class _Check:
    """One rule of one resource; `place` names it in messages."""

    def __init__(self, info: ResourceInfo, catalog: Catalog, place: str) -> None:
        self.info = info
        self.catalog = catalog
        self.place = place

    def refuse(self, sentence: str) -> NoReturn:
        refuse(self.info.cls, self.place, sentence)

    def rule(self, rule: Rule, scopes: tuple[ResourceInfo, ...]) -> None:
        """`scopes` are the resources in sight: the rule's own first, the innermost exists last."""
        if isinstance(rule, Exists):
            known = self.catalog.by_name
            if rule.resource not in known:
                self.refuse(
                    f"exists({rule.resource!r}, …): {rule.resource} is not a resource of this application."
                    f"{nearest(rule.resource, known)} Add it to App(resources=[...]) or mend the name"
                )
            scopes = (*scopes, known[rule.resource])
        for part in parts_of(rule):
            self.rule(part, scopes)
        operands = operands_of(rule)
        fields = [self._field(operand, scopes) for operand in operands if isinstance(operand, FieldOf)]
        if not fields or isinstance(rule, IsNull):
            return
        for field in fields:
            if field.column == "json":
                self.refuse(f"{rule!r}: '{field.name}' holds {field.kind}, which rules can't compare; use .is_null()")
        ordered = isinstance(rule, Comparison) and rule.operator != "=="
        if ordered and fields[0].column == "boolean":
            self.refuse(f"{rule!r}: true and false have no order; compare '{fields[0].name}' with ==")
        if len(fields) == 2 and not _alike(*fields):
            self.refuse(
                f"{rule!r}: a {fields[0].kind} and a {fields[1].kind} are stored differently; compare like with like"
            )
        for operand in operands:
            self._value(rule, fields[0], operand)

    def _field(self, operand: FieldOf, scopes: tuple[ResourceInfo, ...]) -> Field:
        depth = len(scopes) - 1
        if operand.scope == "that" and not depth:
            self.refuse(f"{operand!r}: there is no `that` outside exists; write this.{operand.field}")
        if operand.scope == "outer" and depth < 2:
            self.refuse(
                f"{operand!r}: there is no `outer` but in an exists within an exists; write this.{operand.field}"
            )
        info = scopes[{"this": 0, "that": -1, "outer": -2}[operand.scope]]
        field = info.fields.get(operand.field)
        if field is None:
            self.refuse(
                f"{operand!r}: {info.name} has no field '{operand.field}'.{nearest(operand.field, info.fields)} "
                f"Its fields are {', '.join(info.fields)}"
            )
        return field

    def _value(self, rule: Rule, field: Field, operand: Operand) -> None:
        if isinstance(operand, CallerValue) or isinstance(rule, OneOfRoles):
            if field.column != TEXT:
                self.refuse(
                    f"{rule!r}: '{field.name}' is a {field.kind}, but ids and roles are text; name a text field"
                )
        elif isinstance(operand, Constant):
            wrong = _misfit(field, operand)
            if wrong:
                self.refuse(f"{rule!r}: {operand!r} can never be a value of '{field.name}': {wrong}; mend the value")


def _misfit(field: Field, constant: Constant) -> str:
    """Why a field can never have the value, or nothing. One that storage would change is none."""
    try:
        value = msgspec.convert(constant.value, field.input_type())
    except msgspec.ValidationError as error:
        return str(error)
    if type(value) is not type(constant.value) and not (field.column == "real" and value == constant.value):
        return f"Expected {field.kind}, got {type(constant.value).__name__}"
    return (field.check(value) or "") if field.checked else ""


def _alike(one: Field, other: Field) -> bool:
    """Whether the stored values of two fields compare as their values do."""
    if {one.column, other.column} <= NUMBERS:
        return True
    return one.column == other.column and getattr(one, "places", None) == getattr(other, "places", None)


def _reads_record(rule: Rule) -> bool:
    return any(
        isinstance(operand, FieldOf) and operand.scope == "this" for part in walk(rule) for operand in operands_of(part)
    )


def _check_names(info: ResourceInfo, group: str, stated: Iterable[str], known: Mapping[str, object], kind: str) -> None:
    for name in stated:
        if name not in known:
            refuse(
                info.cls,
                f"access.{group}",
                f"there is no {kind} '{name}'.{nearest(name, known)} Mend the name or take it out",
            )
