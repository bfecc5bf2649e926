"""References to records of another resource."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec

from ramet.declare.fields.base import EQUALITY, ORDER, Field

ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
OnDelete = Literal["restrict", "cascade", "null"]
ON_DELETE: tuple[str, ...] = get_args(OnDelete)


class Identifier(Field):
    """A record's id: a UUID in lower-case text."""

    kind = "id"
    column = "text"
    operators: ClassVar[tuple[str, ...]] = ORDER
    __slots__ = ()

    def input_type(self) -> Any:
        return Annotated[str, msgspec.Meta(pattern=ID_PATTERN + r"(?!\n)")]

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid", "pattern": ID_PATTERN}


class Reference(Identifier):
    """The id of a record of `target`; `on_delete` says what becomes of this record when that one is deleted."""

    kind = "reference"
    operators: ClassVar[tuple[str, ...]] = EQUALITY
    __slots__ = ("on_delete", "target")

    def __init__(self, target: str, on_delete: OnDelete) -> None:
        super().__init__()
        self.target = target
        self.on_delete: OnDelete = on_delete
