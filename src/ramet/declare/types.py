"""The words that go into `Annotated` beside a Python type, and ready-made field types."""

from __future__ import annotations

from decimal import Decimal as Number
from typing import Annotated, Any

import msgspec

from ramet.declare.fields.reference import OnDelete


class Length(msgspec.Struct, frozen=True):
    """Characters of a text: `Length(1, 200)`, `Length(max=10_000)`."""

    min: int = 0
    max: int = 1_000


class Range(msgspec.Struct, frozen=True):
    """Least and greatest number, both allowed: `Range(0, 100)`."""

    min: float | Number | None = None
    max: float | Number | None = None


class Digits(msgspec.Struct, frozen=True):
    """Digits of a decimal, all and after the point: `Digits(12, 2)`. At most 18 in all."""

    total: int = 18
    places: int = 2


class Items(msgspec.Struct, frozen=True):
    """Most values in a list: `Items(20)`."""

    max: int = 100


class Pattern(msgspec.Struct, frozen=True):
    """A regular expression that a text must match from start to end."""

    expression: str


class Ref(msgspec.Struct, frozen=True):
    """A reference to another resource, by class or name, and what a deletion there does here."""

    target: Any
    on_delete: OnDelete = "restrict"


class Help(msgspec.Struct, frozen=True):
    """A sentence about the field, for the API reference and the console."""

    text: str


class Unique(msgspec.Struct, frozen=True):
    """No two records may have the same value."""


class Hidden(msgspec.Struct, frozen=True):
    """Never leaves the server: not readable, writable, filterable or sortable from outside."""


class ReadOnly(msgspec.Struct, frozen=True):
    """Set by hooks and actions only."""


class WriteOnce(msgspec.Struct, frozen=True):
    """Given at creation, unchangeable after."""


class EmailFormat(msgspec.Struct, frozen=True):
    """The text is an e-mail address."""


class UrlFormat(msgspec.Struct, frozen=True):
    """The text is an absolute http or https address."""


class JsonFormat(msgspec.Struct, frozen=True):
    """Any JSON value, bounded in bytes."""

    max_bytes: int = 65_536


Email = Annotated[str, EmailFormat()]
Url = Annotated[str, UrlFormat()]
Json = Annotated[Any, JsonFormat()]


class Index:
    """An index over fields, in order; a minus before a name means descending: `Index("owner", "-created_at")`."""

    __slots__ = ("fields", "unique")

    def __init__(self, *fields: str, unique: bool = False) -> None:
        self.fields = fields
        self.unique = unique
