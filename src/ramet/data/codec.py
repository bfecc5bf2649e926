"""Between Python values, stored values and JSON: one codec a field, supplied by the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import starmap
from typing import Any

import msgspec

from ramet.declare.catalog import ResourceInfo

Convert = Callable[[Any], Any]


class Codec(msgspec.Struct, frozen=True):
    """Conversions of one field's non-null values; None means the value passes unchanged.

    `bind` makes a Python value storable, `load` is its inverse, `wire` makes a stored value encodable as JSON.
    """

    bind: Convert | None = None
    load: Convert | None = None
    wire: Convert | None = None


class RowShape:
    """Turns stored rows of some fields into JSON-encodable objects. Rows are tuples in the order of `names`."""

    __slots__ = ("_convert", "_make", "names")

    def __init__(self, label: str, names: Sequence[str], codecs: Sequence[Codec]) -> None:
        self.names = tuple(names)
        self._make = msgspec.defstruct(label, [(name, Any) for name in names], gc=False)
        self._convert = tuple(
            (name, codec.wire) for name, codec in zip(names, codecs, strict=True) if codec.wire is not None
        )

    def wire_one(self, row: Sequence[Any]) -> Any:
        """The encodable object of one row."""
        record = self._make(*row)
        for name, convert in self._convert:
            value = getattr(record, name)
            if value is not None:
                setattr(record, name, convert(value))
        return record

    def wire(self, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """One encodable object a row."""
        records = list(starmap(self._make, rows))
        for name, convert in self._convert:
            for record in records:
                value = getattr(record, name)
                if value is not None:
                    setattr(record, name, convert(value))
        return records


class RecordCodec:
    """All of one resource's conversions. `names` is the storage order of its columns."""

    def __init__(self, info: ResourceInfo, codec_of: Callable[[Any], Codec]) -> None:
        self.info = info
        self.names = tuple(info.fields)
        self.codecs = {name: codec_of(field) for name, field in info.fields.items()}
        self.position = {name: place for place, name in enumerate(self.names)}
        self._loads = tuple((name, codec.load) for name, codec in self.codecs.items() if codec.load is not None)
        self._readable = self.shape(info.readable)
        self._readable_places = tuple(self.position[name] for name in info.readable)
        self._all_readable = info.readable == self.names

    def shape(self, names: Sequence[str]) -> RowShape:
        return RowShape(self.info.name, names, [self.codecs[name] for name in names])

    def bind(self, name: str, value: Any) -> Any:
        convert = self.codecs[name].bind
        return value if value is None or convert is None else convert(value)

    def load(self, row: Sequence[Any]) -> Any:
        """The record object of a full stored row."""
        values = dict(zip(self.names, row, strict=True))
        for name, convert in self._loads:
            if values[name] is not None:
                values[name] = convert(values[name])
        return self.info.cls(**values)

    def bind_record(self, record: Any) -> tuple[Any, ...]:
        """The stored row of a record object."""
        return tuple([self.bind(name, getattr(record, name)) for name in self.names])

    def wire(self, row: Sequence[Any]) -> Any:
        """The encodable object of a full stored row, hidden fields left out."""
        if not self._all_readable:
            row = [row[place] for place in self._readable_places]
        return self._readable.wire_one(row)
