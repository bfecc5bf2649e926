"""The msgspec types that decode and check a resource's JSON input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ramet.declare.fields.base import Field
from ramet.declare.fields.reference import Reference


class Inputs(msgspec.Struct, frozen=True):
    """`create` and `replace` take whole records, `update` any part of one. `checked` need a second look per value."""

    create: type[msgspec.Struct]
    replace: type[msgspec.Struct]
    update: type[msgspec.Struct]
    writable: tuple[str, ...]
    changeable: tuple[str, ...]
    checked: tuple[Field, ...]
    references: tuple[Reference, ...]


def build_inputs(name: str, fields: Mapping[str, Field]) -> Inputs:
    """Input types of a resource called `name`; read-only and hidden fields are unknown to them."""
    writable = {key: field for key, field in fields.items() if not (field.marks.read_only or field.marks.hidden)}
    changeable = {key: field for key, field in writable.items() if not field.marks.write_once}
    return Inputs(
        create=input_struct(f"{name}Create", writable),
        replace=input_struct(f"{name}Replace", writable),
        update=input_struct(f"{name}Update", changeable, partial=True),
        writable=tuple(writable),
        changeable=tuple(changeable),
        checked=tuple(field for field in writable.values() if field.checked),
        references=tuple(field for field in writable.values() if isinstance(field, Reference)),
    )


def input_struct(name: str, fields: Mapping[str, Field], partial: bool = False) -> type[msgspec.Struct]:
    """A Struct that refuses unknown fields; absent ones are UNSET so that a default can be told from a value."""
    members: list[Any] = []
    for key, field in fields.items():
        kind = field.json_type()
        if field.optional:
            kind = kind | None
        if field.required and not partial:
            members.append((key, kind))
        else:
            members.append((key, kind | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True)
