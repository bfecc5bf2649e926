"""Whole numbers of 64 bits."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import Field

LOWEST = -(2**63)
HIGHEST = 2**63 - 1


class Integer(Field):
    """A whole number from `min` to `max`, at most 64 bits with sign."""

    kind = "integer"
    column = "integer"
    __slots__ = ("max", "min")

    def __init__(self, min: int = LOWEST, max: int = HIGHEST) -> None:
        super().__init__()
        self.min = min
        self.max = max

    def input_type(self) -> Any:
        return Annotated[int, msgspec.Meta(ge=self.min, le=self.max)]

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "format": "int64", "minimum": self.min, "maximum": self.max}

    def query_schema(self) -> dict[str, Any]:
        return {"type": "integer", "format": "int64", "minimum": LOWEST, "maximum": HIGHEST}

    def parse(self, text: str) -> int:
        if len(text) > 20 or not text.removeprefix("-").isdecimal() or not text.isascii():
            raise ValueError("Expected a whole number")
        value = int(text)
        if not LOWEST <= value <= HIGHEST:
            raise ValueError("Expected a whole number of at most 64 bits")
        return value
