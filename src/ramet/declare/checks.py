"""What a declaration must fulfil beyond its types; each refusal says what to mend."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any, get_args

from ramet.declare.actions import ActionInfo, resources_in
from ramet.declare.addresses import check_path
from ramet.declare.defaults import wrong_default
from ramet.declare.fields.base import Field
from ramet.declare.names import nearest
from ramet.declare.resource import Hook, Moment, Resource
from ramet.declare.source import refuse
from ramet.declare.types import Index
from ramet.declare.variables import check_attributes, check_kinds, check_shadowed

OPERATIONS = ("list", "get", "create", "update", "delete")
LIMITS = ("general", "sign_in", "register", "refresh")
"""Classes of rate limits that an action may name."""


def check_class(cls: type[Resource], base_fields: Collection[str]) -> None:
    """The class variables of a resource, and that it leaves base fields alone."""
    for base in cls.__mro__[: cls.__mro__.index(Resource)]:
        for name in vars(base).get("__annotations__", {}):
            if name in base_fields:
                refuse(cls, name, "is a field that every record has: take it out")
    check_attributes(cls, base_fields)
    check_shadowed(cls)
    check_kinds(cls)
    check_path(cls)
    for name in cls.operations:
        if name not in OPERATIONS:
            refuse(cls, "operations", f"there is no operation '{name}'.{nearest(name, OPERATIONS)} Mend the name")


def check_default(cls: type[Resource], field: Field) -> None:
    """A default is a value that an input could give, where an input can."""
    wrong = None if field.marks.read_only or field.marks.hidden else wrong_default(field)
    if wrong is not None:
        refuse(cls, field.name, wrong)


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


def check_actions(cls: type[Resource], actions: Mapping[str, ActionInfo], known: Collection[type[Resource]]) -> None:
    """Limits that exist, a status of success, and resources of the application as output."""
    for name, action in actions.items():
        if action.limit not in LIMITS:
            refuse(cls, name, f"there is no limit '{action.limit}'.{nearest(action.limit, LIMITS)} Mend the name")
        empty = action.output in (None, type(None))
        if not 200 <= action.status <= 299 or (action.status in (204, 205) and not empty):
            refuse(
                cls,
                name,
                f"status={action.status} is none of an answer: write one from 200 to 299, and return None for 204",
            )
        for output in resources_in(action.output):
            if output not in known:
                refuse(
                    cls,
                    name,
                    f"returns {output.__name__}, which is not a resource of this application. "
                    "Add it to App(resources=[...])",
                )


def check_names(
    cls: type[Resource], fields: Mapping[str, Field], indexes: Collection[Any], sort: str, search: Collection[str]
) -> None:
    """Indexes, sort and search name fields that exist and are fit for it."""
    for name, one in fields.items():
        if one.marks.unique and one.column == "json":
            refuse(cls, name, f"holds {one.kind}, whose values the database cannot compare: take Unique out")
    for index in indexes:
        if not isinstance(index, Index) or not index.fields or not all(isinstance(one, str) for one in index.fields):
            refuse(cls, "indexes", f"{index!r} is not an index: write Index('field', '-other')")
        for name in index.fields:
            bare = name.removeprefix("-")
            if bare not in fields:
                refuse(cls, "indexes", f"there is no field '{bare}'.{nearest(bare, fields)} Mend the index")
            if fields[bare].column == "json":
                refuse(cls, "indexes", f"'{bare}' holds {fields[bare].kind}, which has no order; take it out")
    stated = [("sort", sort.replace("-", "").split(",")), ("search", list(search))]
    stated += [("indexes", [name.removeprefix("-") for name in index.fields]) for index in indexes]
    for place, names in stated:
        for name in names:
            if names.count(name) > 1:
                refuse(cls, place, f"names '{name}' twice: once is enough")
    for name in sort.split(","):
        bare = name.removeprefix("-")
        wrong = _unfit_to_sort(fields.get(bare))
        if wrong:
            near = "" if bare in fields else nearest(bare, fields)
            refuse(cls, "sort", f"'{bare}' is not a field to sort by: {wrong}.{near} Name another")
    for name in search:
        wrong = _unfit_to_search(fields.get(name))
        if wrong:
            near = "" if name in fields else nearest(name, fields)
            refuse(cls, "search", f"'{name}' is not a text field to search: {wrong}.{near} Name text fields only")


def _unfit_to_sort(field: Field | None) -> str:
    if field is None:
        return "there is no such field"
    if field.marks.hidden:
        return "it is hidden, and an order would show it"
    if field.column == "json":
        return f"it holds {field.kind}, which has no order"
    return "" if field.sortable else "its texts are too long for the cursor of a page"


def _unfit_to_search(field: Field | None) -> str:
    if field is None:
        return "there is no such field"
    if field.marks.hidden:
        return "it is hidden, and what is found would show it"
    return "" if field.column == "text" else f"it holds {field.kind}"
