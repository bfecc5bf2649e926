"""Calendar days."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from ramet.declare.fields.base import Field

_SHAPE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Date(Field):
    """A day of the Gregorian calendar, `YYYY-MM-DD`."""

    kind = "date"
    column = "date"
    __slots__ = ()

    def input_type(self) -> Any:
        return date

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date", "pattern": "^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}$"}

    def parse(self, text: str) -> date:
        try:
            if _SHAPE.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        raise ValueError("Expected a day as YYYY-MM-DD")
