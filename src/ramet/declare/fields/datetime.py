"""Moments in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import Field

_TYPE = Annotated[datetime, msgspec.Meta(tz=True)]


class DateTime(Field):
    """A moment with its time zone (RFC 3339), kept and given back in UTC with microseconds."""

    kind = "datetime"
    column = "datetime"
    checked = True
    __slots__ = ()

    def input_type(self) -> Any:
        return _TYPE

    def check(self, value: datetime) -> str | None:
        try:
            value.astimezone(UTC)
        except OverflowError:
            return "Expected a moment between the years 1 and 9999 in UTC"
        return None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}

    def parse(self, text: str) -> datetime:
        try:
            value: datetime = msgspec.convert(text.replace(" ", "+"), _TYPE)
        except msgspec.ValidationError:
            raise ValueError("Expected a moment with its time zone, as 2026-01-31T12:00:00Z") from None
        wrong = self.check(value)
        if wrong is not None:
            raise ValueError(wrong)
        return value
