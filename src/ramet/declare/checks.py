"""What a declaration must fulfil beyond its types; each refusal says what to mend."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any, get_args

import msgspec

from ramet.declare.actions import ActionInfo
from ramet.declare.fields.base import Field
from ramet.declare.names import nearest, plural_path
from ramet.declare.resource import Hook, Moment, Resource
from ramet.declare.source import refuse
from ramet.declare.types import Index
from ramet.declare.variables import check_attributes, check_shadowed

OPERATIONS = ("list", "get", "create", "update", "delete")
LIMITS = ("general", "sign_in", "register", "refresh")
"""Classes of rate limits that an action may name."""
TAKEN = frozenset(
    {
        "auth",
        "batch",
        *(
            f"ramet-{name}"
            for name in ("changes", "facts", "followers", "idempotency", "limits", "outbox", "revisions")
        ),
    }
)
"""Addresses that are Ramet's own, or whose tables would be."""
_PATH = re.compile(r"[a-z][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")


def check_class(cls: type[Resource], base_fields: Collection[str]) -> None:
    """The class variables of a resource, and that it leaves base fields alone."""
    for base in cls.__mro__[: cls.__mro__.index(Resource)]:
        for name in vars(base).get("__annotations__", {}):
            if name in base_fields:
                refuse(cls, name, "is a field that every record has: take it out")
    check_attributes(cls, base_fields)
    check_shadowed(cls)
    if cls.path and not _PATH.fullmatch(cls.path):
        refuse(cls, "path", f"'{cls.path}' is not an address: use lower-case words joined by '-' or '/'")
    path = cls.path or plural_path(cls.__name__)
    if path in TAKEN or path.startswith("auth/"):
        refuse(cls, "path", f"'{path}' is an address that Ramet uses itself; choose another")
    for name in cls.operations:
        if name not in OPERATIONS:
            refuse(cls, "operations", f"there is no operation '{name}'.{nearest(name, OPERATIONS)} Mend the name")
    if not cls.cache >= 0:
        refuse(cls, "cache", "is a number of seconds: 0 or more")


def check_default(cls: type[Resource], field: Field) -> None:
    """A default is a value that an input could give, where an input can."""
    if field.required or field.marks.read_only or field.marks.hidden:
        return
    value = field.initial()
    if value is None:
        return
    try:
        given = msgspec.convert(value, field.input_type())
    except msgspec.ValidationError as error:
        refuse(cls, field.name, f"has the default {value!r}, which it may not hold: {error}")
    alike = type(given) is type(value) or field.column == "real"
    wrong = field.check(given) if alike and field.checked else None if alike else f"expected {type(given).__name__}"
    if wrong is not None:
        refuse(cls, field.name, f"has the default {value!r}, which it may not hold: {wrong}")


def read_hooks(cls: type[Resource]) -> Mapping[tuple[str, str], tuple[Hook, ...]]:
    """The hooks of a resource by when and moment, in the order of declaration."""
    named: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        named.update(vars(base))
    found: dict[tuple[str, str], tuple[Hook, ...]] = {}
    moments = get_args(Moment)
    for name, hook in named.items():
        if not isinstance(hook, Hook):
            continue
        if not hook.moments or any(moment not in moments for moment in hook.moments):
            refuse(cls, name, f"@{hook.when}(...) takes what it waits for: one or more of {', '.join(moments)}")
        if not inspect.iscoroutinefunction(hook.function):
            refuse(cls, name, "a hook is an `async def`")
        if len(inspect.signature(hook.function).parameters) != 2:
            refuse(cls, name, "a hook takes `self` and `ctx: Context`")
        for moment in hook.moments:
            found[hook.when, moment] = (*found.get((hook.when, moment), ()), hook)
    return found


def check_actions(cls: type[Resource], actions: Mapping[str, ActionInfo]) -> None:
    """Limits that exist."""
    for name, action in actions.items():
        if action.limit not in LIMITS:
            refuse(cls, name, f"there is no limit '{action.limit}'.{nearest(action.limit, LIMITS)} Mend the name")


def check_names(
    cls: type[Resource], fields: Mapping[str, Field], indexes: Collection[Any], sort: str, search: Collection[str]
) -> None:
    """Indexes, sort and search name fields that exist and are fit for it."""
    for index in indexes:
        if not isinstance(index, Index) or not index.fields:
            refuse(cls, "indexes", f"{index!r} is not an index: write Index('field', '-other')")
        for name in index.fields:
            bare = name.removeprefix("-")
            if bare not in fields:
                refuse(cls, "indexes", f"there is no field '{bare}'.{nearest(bare, fields)} Mend the index")
            if fields[bare].column == "json":
                refuse(cls, "indexes", f"'{bare}' holds {fields[bare].kind}, which has no order; take it out")
    for name in sort.split(","):
        bare = name.removeprefix("-")
        field = fields.get(bare)
        if field is None or not field.sortable or field.marks.hidden:
            refuse(cls, "sort", f"'{bare}' is not a field to sort by.{nearest(bare, fields)} Name another")
    for name in search:
        field = fields.get(name)
        if field is None or field.column != "text" or field.marks.hidden:
            refuse(
                cls, "search", f"'{name}' is not a text field to search.{nearest(name, fields)} Name text fields only"
            )
