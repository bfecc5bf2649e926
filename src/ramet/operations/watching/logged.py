"""Records as the change log tells of them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ramet.data.codec import RecordCodec
from ramet.declare.catalog import ResourceInfo

_TYPES: dict[str, Any] = {"datetime": datetime, "date": date, "decimal": Decimal}
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
NULL = msgspec.Raw(b"null")


class LoggedShape:
    """How records of one resource stand in the log: their readable fields, hidden ones left out."""

    __slots__ = ("codec", "decode", "info")

    def __init__(self, info: ResourceInfo, codec: RecordCodec) -> None:
        self.info = info
        self.codec = codec
        # Types only, no limits: those may have been others when the record was stored.
        fields = [(name, _TYPES.get(info.fields[name].column, object) | None) for name in info.readable]
        known = [(name, Any if kind == object | None else kind) for name, kind in fields]
        struct = msgspec.defstruct(f"{info.name}Logged", known, forbid_unknown_fields=True)
        self.decode = msgspec.json.Decoder(struct).decode


class Logged:
    """One record: `text` is its JSON, `record` has its fields as attributes.

    Raises msgspec.ValidationError when it was logged under another declaration.
    """

    __slots__ = ("_shape", "record", "text")

    def __init__(self, text: bytes, shape: LoggedShape) -> None:
        self.text = text
        self._shape = shape
        self.record = shape.decode(text)

    def stored(self, name: str) -> Any:
        """A field's value as the engine stores it."""
        return self._shape.codec.bind(name, getattr(self.record, name))

    def row(self) -> dict[str, Any]:
        """All its stored values, as parameters of a rule that is asked of a record which is not in a table."""
        return {f"this_{name}": self.stored(name) for name in self._shape.info.readable}

    def shown(self, fields: tuple[str, ...] | None, omitted: frozenset[str], nulled: frozenset[str]) -> bytes:
        """Its JSON with some fields only, without those `omitted` and with null for those `nulled`."""
        if fields is None and not omitted and not nulled:
            return self.text
        values = _raw(self.text)
        names = self._shape.info.readable if fields is None else fields
        return _encode({name: NULL if name in nulled else values[name] for name in names if name not in omitted})
