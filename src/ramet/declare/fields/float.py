"""Floating-point numbers."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import Field


class Float(Field):
    """A finite IEEE 754 double from `min` to `max`."""

    kind = "float"
    column = "real"
    __slots__ = ("max", "min")

    def __init__(self, min: float | None = None, max: float | None = None) -> None:
        super().__init__()
        self.min = min
        self.max = max

    def input_type(self) -> Any:
        return Annotated[float, msgspec.Meta(ge=self.min, le=self.max)]

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "number", "format": "double"}
        if self.min is not None:
            schema["minimum"] = self.min
        if self.max is not None:
            schema["maximum"] = self.max
        return schema

    def query_schema(self) -> dict[str, Any]:
        return {"type": "number", "format": "double"}

    def parse(self, text: str) -> float:
        try:
            value = float(text) if len(text) <= 400 and "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError("Expected a finite number")
        return value
