"""From an action's signature to its input and output."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from ramet.declare.defaults import wrong_default
from ramet.declare.fields.base import Field
from ramet.declare.fields.build import build_field
from ramet.declare.inputs import input_struct
from ramet.declare.names import nearest
from ramet.declare.resource import Action, Resource
from ramet.declare.source import refuse

OPTIONS = {"reads": bool, "transaction": bool, "path": str, "public": bool, "limit": str, "status": int}
"""What `@action(...)` takes, and of which type."""
KINDS = {bool: "True or False", str: "a text", int: "a whole number"}


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
    named: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        named.update(vars(base))
    return {name: _read(cls, name, value) for name, value in named.items() if isinstance(value, Action)}


def resources_in(output: Any) -> Iterator[type[Resource]]:
    """The resources that a return type is made of."""
    if isinstance(output, type) and issubclass(output, Resource):
        yield output
    for inner in get_args(output):
        yield from resources_in(inner)


def _read(cls: type[Resource], name: str, action: Action) -> ActionInfo:
    _check_options(cls, name, action)
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
    except Exception as error:  # whatever evaluating an annotation may raise
        refuse(cls, name, f"has a type that cannot be read ({error}): mend it")
    fields = {parameter.name: _input(cls, name, parameter, hints) for parameter in parameters[2:]}
    _check_output(cls, name, hints.get("return"))
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


def _input(cls: type[Resource], name: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Field:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        refuse(cls, name, f"'*{parameter.name}' cannot be documented; name each input")
    if parameter.name not in hints:
        refuse(cls, name, f"the input '{parameter.name}' needs a type")
    try:
        field = build_field(hints[parameter.name])
    except Exception as error:  # a sentence, or whatever an annotation may raise that is looked at
        refuse(cls, name, f"input '{parameter.name}': {error}")
    field.name = parameter.name
    if parameter.default is not parameter.empty:
        field.default = parameter.default
    wrong = wrong_default(field)
    if wrong is not None:
        refuse(cls, name, f"the input '{parameter.name}' {wrong}")
    return field


def _check_options(cls: type[Resource], name: str, action: Action) -> None:
    """What stands in the brackets of `@action(...)`."""
    for word in action.unknown:
        refuse(cls, name, f"@action takes no '{word}'.{nearest(word, OPTIONS)} It takes {', '.join(OPTIONS)}")
    for word, kind in OPTIONS.items():
        value = getattr(action, word)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            refuse(cls, name, f"@action({word}={value!r}) is not possible: {word} takes {KINDS[kind]}")


def _check_output(cls: type[Resource], name: str, output: Any) -> None:
    """A return type must have a form in JSON, by which it is documented."""
    try:
        msgspec.json.schema_components([output])
    except Exception as error:  # whatever a type may raise that is asked for its schema
        label = getattr(output, "__name__", repr(output))
        refuse(
            cls,
            name,
            f"returns {label}, for which there is no JSON ({error}). Return a resource, a Struct, None or JSON",
        )
