"""How each field is stored: days and moments as sortable text, decimals as scaled whole numbers, JSON as text."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as Number
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Float, Integer, Text
from sqlalchemy.types import TypeEngine

from ramet.data.codec import Codec
from ramet.declare.fields.base import Field
from ramet.declare.fields.decimal import Decimal

_TYPES: dict[str, TypeEngine[Any]] = {
    "text": Text(),
    "integer": BigInteger(),
    "real": Float(),
    "boolean": Integer(),
    "decimal": BigInteger(),
    "date": Text(),
    "datetime": Text(),
    "json": Text(),
}


def column_type(field: Field) -> TypeEngine[Any]:
    """The SQL type of a field's column."""
    return _TYPES[field.column]


def store_moment(value: datetime) -> str:
    """UTC with microseconds, always 27 characters, so that text order is time order."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    text: str = msgspec.to_builtins(value)  # a tenth of the time that `isoformat` takes
    return text if len(text) == 27 else f"{text[:-1]}.000000Z"


def moment(microseconds: int) -> str:
    """Microseconds since 1970 as stored."""
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_second(second)}{rest:06}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """A moment up to its point: many are asked for within one second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def codec_of(field: Field) -> Codec:
    """The conversions of a field."""
    if isinstance(field, Decimal):
        return _decimal(field.places)
    return _CODECS.get(field.column, Codec())


def _decimal(places: int) -> Codec:
    def bind(value: Number) -> int:
        return int(value.scaleb(places).to_integral_value())

    def load(value: int) -> Number:
        return Number(value).scaleb(-places)

    def wire(value: int) -> str:
        return f"{Number(value).scaleb(-places):f}"

    return Codec(bind, load, wire)


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _raw(value: str) -> msgspec.Raw:
    return msgspec.Raw(value.encode())


def _real(value: float) -> float:
    return float(value) + 0.0  # SQLite knows one zero


def _day(value: date) -> str:
    return value.isoformat()


_CODECS: dict[str, Codec] = {
    "boolean": Codec(int, bool, bool),
    "date": Codec(_day, date.fromisoformat),
    "datetime": Codec(store_moment, datetime.fromisoformat),
    "json": Codec(_json_text, msgspec.json.decode, _raw),
    "real": Codec(bind=_real),
}
