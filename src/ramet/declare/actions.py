"""From an action's signature to its input and output."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec

from ramet.declare.fields.base import Field
from ramet.declare.fields.build import build_field
from ramet.declare.inputs import input_struct
from ramet.declare.resource import Action, Resource
from ramet.declare.source import refuse


class ActionInfo(msgspec.Struct, frozen=True):
    """One action: `inputs` are its parameters after `ctx`, `output` the annotated return type."""

    name: str
    action: Action
    on_collection: bool
    reads: bool
    transaction: bool
    public: bool
    path: str
    limit: str
    status: int
    fields: Mapping[str, Field]
    input: type[msgspec.Struct]
    output: Any
    doc: str


def read_actions(cls: type[Resource]) -> dict[str, ActionInfo]:
    """The actions a resource declares, by name. Refuses signatures that cannot be served."""
    found: dict[str, ActionInfo] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Action):
                found[name] = _read(cls, name, value)
    return found


def _read(cls: type[Resource], name: str, action: Action) -> ActionInfo:
    function = action.function
    if not inspect.iscoroutinefunction(function):
        refuse(cls, name, "an action is an `async def`")
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:
        refuse(cls, name, "an action takes `self` (or `cls`) and `ctx: Context`, then its inputs")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        refuse(cls, name, f"{error}; import it in this file, outside any function")
    fields: dict[str, Field] = {}
    for parameter in parameters[2:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            refuse(cls, name, f"'*{parameter.name}' cannot be documented; name each input")
        if parameter.name not in hints:
            refuse(cls, name, f"the input '{parameter.name}' needs a type")
        try:
            field = build_field(hints[parameter.name])
        except ValueError as error:
            refuse(cls, name, f"input '{parameter.name}': {error}")
        field.name = parameter.name
        if parameter.default is not parameter.empty:
            field.default = parameter.default
        fields[parameter.name] = field
    return ActionInfo(
        name=name,
        action=action,
        on_collection=action.on_collection,
        reads=action.reads,
        transaction=action.transaction and not action.reads,
        public=action.public,
        path=action.path,
        limit=action.limit,
        status=action.status,
        fields=fields,
        input=input_struct(f"{cls.__name__}{name.title().replace('_', '')}Input", fields),
        output=hints.get("return"),
        doc=inspect.getdoc(function) or "",
    )
