"""The class attributes of a resource that are no fields: the class variables Ramet knows, and what may stand beside."""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from ramet.declare.names import nearest
from ramet.declare.resource import Action, Hook, Resource
from ramet.declare.rules import Access
from ramet.declare.source import refuse

KNOWN = tuple(
    name for name, value in vars(Resource).items() if not name.startswith("_") and not hasattr(type(value), "__get__")
)
"""The class variables by which a resource is declared."""

SEVERAL = (list, tuple, set, frozenset)


def check_attributes(cls: type[Resource], base_fields: Collection[str]) -> None:
    """Refuses attributes that would be ignored, such as a misspelt `access`, and those that would hide a field."""
    for base in _declared(cls):
        annotated = vars(base).get("__annotations__", {})
        for name, value in vars(base).items():
            if isinstance(value, classmethod | staticmethod) and isinstance(value.__func__, Action | Hook):
                _refuse_order(base, name, value)
            if name in base_fields:
                refuse(base, name, "is a field that every record has: choose another name")
            if isinstance(value, Access) and name != "access":
                refuse(base, name, "holds access rules, which only `access` does. Write `access = ...`")
            if name.startswith("_") or name in KNOWN or name in annotated or _may_stand(value):
                continue
            refuse(
                base,
                name,
                f"is no class variable of Ramet, and has no type.{nearest(name, KNOWN)} Write `{name}: {_kind(value)} "
                f"= ...` for a field, or `{name}: ClassVar = ...` for what is the class's own",
            )


def check_shadowed(cls: type[Resource]) -> None:
    """Refuses fields that are called like a class variable, which would be lost."""
    for name in cls.__struct_fields__:
        if name in KNOWN:
            refuse(
                cls, name, f"is a class variable: write `{name} = ...` without a type, or give the field another name"
            )


def check_kinds(cls: type[Resource]) -> None:
    """Refuses class variables that are not of the type they should be."""
    if not isinstance(cls.access, Access):
        refuse(
            cls, "access", f"is {cls.access!r}, which are no rules: write owner_only(), public_read() or Access(...)"
        )
    for name in ("path", "sort"):
        if not isinstance(getattr(cls, name), str):
            refuse(cls, name, f"is {getattr(cls, name)!r}: give it a text")
    for name in ("search", "operations"):
        value = getattr(cls, name)
        if not isinstance(value, SEVERAL) or not all(isinstance(one, str) for one in value):
            refuse(cls, name, f"is {value!r}: give it a list of texts, as ['title']")
    if not isinstance(cls.indexes, SEVERAL):
        refuse(cls, "indexes", f"is {cls.indexes!r}: give it a list, as [Index('title')]")
    cache: Any = cls.cache
    if isinstance(cache, bool) or not isinstance(cache, int | float) or not 0 <= cache < float("inf"):
        refuse(cls, "cache", f"is {cache!r}, and is a number of seconds: 0 or more")
    if not isinstance(cls.require_match, bool):
        refuse(cls, "require_match", f"is {cls.require_match!r}: write True or False")


def _declared(cls: type[Resource]) -> Iterator[type]:
    """The classes that a team wrote: the resource and those it is made of."""
    ours = (*Resource.__mro__, typing.Generic)
    return (base for base in cls.__mro__ if base not in ours)


def _may_stand(value: Any) -> bool:
    """Methods, properties, actions, hooks and the slots of fields, nested classes and names of types."""
    return hasattr(type(value), "__get__") or isinstance(value, type) or typing.get_origin(value) is not None


def _kind(value: Any) -> str:
    return type(value).__name__


def _refuse_order(cls: type, name: str, value: Any) -> NoReturn:
    word = "action" if isinstance(value.__func__, Action) else value.__func__.when
    if isinstance(value, classmethod) and word == "action":
        refuse(cls, name, "has its marks in the wrong order: write @action above @classmethod")
    refuse(cls, name, f"@{word} goes with a method: take @{type(value).__name__} out")
