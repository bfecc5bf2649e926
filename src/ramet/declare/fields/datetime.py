"""Moments in time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import Field

# The first and the last day are left out: elsewhere on Earth they lie outside of the calendar.
PATTERN = "^(?!0000|0001-01-01|9999-12-31)[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,}(Z|[+-][0-9]{2}:[0-9]{2})$"
_FIRST = datetime(1, 1, 2)
_LAST = datetime(9999, 12, 31)
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
        if not 1 < value.year < 9999 and not _FIRST <= value.replace(tzinfo=None) < _LAST:
            return "Expected a moment from 0001-01-02 to 9999-12-30"
        return None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "pattern": PATTERN}

    def parse(self, text: str) -> datetime:
        try:
            value: datetime = msgspec.convert(text.replace(" ", "+"), _TYPE)
        except msgspec.ValidationError:
            raise ValueError("Expected a moment with its time zone, as 2026-01-31T12:00:00Z") from None
        wrong = self.check(value)
        if wrong is not None:
            raise ValueError(wrong)
        return value
