"""How each field is stored: in the types that PostgreSQL has for it.

What statements are given and give back is the same text as in the embedded engine wherever Python has no exact and
quick value for it: moments and days in ISO 8601, decimals with their places, JSON as it was sent.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as Number
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import JSON, TIMESTAMP, BigInteger, Boolean, Date, Float, Numeric, Text
from sqlalchemy.types import TypeEngine, UserDefinedType

from ramet.data.codec import Codec
from ramet.declare.fields.base import Field
from ramet.declare.fields.decimal import Decimal

EPOCH = 946_684_800
"""2000-01-01 in seconds since 1970: where PostgreSQL counts from."""
_TYPES: dict[str, TypeEngine[Any]] = {
    "text": Text(collation="C"),
    "integer": BigInteger(),
    "real": Float(53),
    "boolean": Boolean(),
    "date": Date(),
    "datetime": TIMESTAMP(timezone=True),
    "json": JSON(),
}


class TransactionId(UserDefinedType[int]):
    """A transaction's 64-bit id."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "xid8"


def column_type(field: Field) -> TypeEngine[Any]:
    """The SQL type of a field's column. Text is in the order of its bytes."""
    if isinstance(field, Decimal):
        return Numeric(field.total, field.places)
    return _TYPES[field.column]


def store_moment(value: datetime) -> str:
    """UTC with microseconds, always 27 characters."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def moment(microseconds: int) -> str:
    """Microseconds since 1970 as statements take them."""
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_second(second)}{rest:06}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """A moment up to its point: records of one list are often of few seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0")


def encode_moment(value: str) -> tuple[int]:
    """A moment as it goes over the wire: microseconds since 2000."""
    since = datetime.fromisoformat(value) - _START
    return (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds,)


def decode_moment(value: tuple[int]) -> str:
    """The inverse of `encode_moment`."""
    second, rest = divmod(value[0], 1_000_000)
    return f"{_second(second + EPOCH)}{rest:06}Z"


def codec_of(field: Field) -> Codec:
    """The conversions of a field."""
    if isinstance(field, Decimal):
        return Codec(_decimal_text(field.places), Number)
    return _CODECS.get(field.column, Codec())


def _decimal_text(places: int) -> Any:
    unit = Number(1).scaleb(-places)

    def bind(value: Number) -> str:
        return f"{value.quantize(unit):f}"

    return bind


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _raw(value: str) -> msgspec.Raw:
    return msgspec.Raw(value.encode())


def _day(value: date) -> str:
    return value.isoformat()


_START = datetime(2000, 1, 1, tzinfo=UTC)
_CODECS: dict[str, Codec] = {
    "boolean": Codec(bool),
    "date": Codec(_day, date.fromisoformat),
    "datetime": Codec(store_moment, datetime.fromisoformat),
    "json": Codec(_json_text, msgspec.json.decode, _raw),
    "real": Codec(bind=float),
}
