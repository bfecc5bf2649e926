"""Exact decimal numbers."""

from __future__ import annotations

from decimal import Decimal as Number, InvalidOperation
from typing import Any

from ramet.declare.fields.base import Field


class Decimal(Field):
    """An exact number of at most `total` digits, `places` of them after the point; text in JSON, e.g. `"12.50"`."""

    kind = "decimal"
    column = "decimal"
    checked = True
    __slots__ = ("max", "min", "places", "total")

    def __init__(self, total: int = 18, places: int = 2, min: Number | None = None, max: Number | None = None) -> None:
        super().__init__()
        self.total = total
        self.places = places
        self.min = min
        self.max = max

    def input_type(self) -> Any:
        return Number

    def check(self, value: Number) -> str | None:
        if not value.is_finite():
            return "Expected a finite decimal number"
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > self.places and value != value.quantize(Number(1).scaleb(-self.places)):
            return f"Expected at most {self.places} digits after the point"
        if abs(value) >= Number(10) ** (self.total - self.places):
            return f"Expected at most {self.total - self.places} digits before the point"
        if self.min is not None and value < self.min:
            return f"Expected `decimal` >= {self.min}"
        if self.max is not None and value > self.max:
            return f"Expected `decimal` <= {self.max}"
        return None

    def schema(self) -> dict[str, Any]:
        whole = self.total - self.places
        pattern = rf"^-?[0-9]{{1,{whole}}}" + (rf"(\.[0-9]{{1,{self.places}}})?$" if self.places else "$")
        return {"type": "string", "format": "decimal", "pattern": pattern}

    def parse(self, text: str) -> Number:
        try:
            value = Number(text) if len(text) <= 64 and "_" not in text else Number("NaN")
        except InvalidOperation:
            value = Number("NaN")
        if not value.is_finite() or abs(value.adjusted()) > 64:
            raise ValueError("Expected a decimal number")
        wrong = self.check(value)
        if wrong is not None:
            raise ValueError(wrong)
        return value
