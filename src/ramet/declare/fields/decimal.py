"""Exact decimal numbers."""

from __future__ import annotations

import re
from decimal import Decimal as Number
from typing import Any

from ramet.declare.fields.base import Field

_NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")


class Decimal(Field):
    """An exact number of at most `total` digits, `places` of them after the point; text in JSON, such as `"12.50"`."""

    kind = "decimal"
    column = "decimal"
    checked = True
    __slots__ = ("_shape", "max", "min", "pattern", "places", "total")

    def __init__(self, total: int = 18, places: int = 2, min: Number | None = None, max: Number | None = None) -> None:
        super().__init__()
        self.total = total
        self.places = places
        self.min = min
        self.max = max
        sign = "" if min is not None and min >= 0 else "-?"
        whole = f"[0-9]{{1,{total - places}}}" if total > places else "0"
        self.pattern = f"^{sign}{whole}" + (rf"(\.[0-9]{{1,{places}}})?$" if places else "$")
        self._shape = re.compile(self.pattern[1:-1])

    def input_type(self) -> Any:
        return Number

    def json_type(self) -> Any:
        return str

    def check(self, value: Number | str) -> str | None:
        if isinstance(value, str):
            if self._shape.fullmatch(value) is None:
                return self._misshapen(value)
            value = Number(value)
        if not value.is_finite():
            return "Expected a finite decimal number"
        exponent = value.as_tuple().exponent
        if (
            isinstance(exponent, int)
            and -exponent > self.places
            and value != value.quantize(Number(1).scaleb(-self.places))
        ):
            return f"Expected at most {self.places} digits after the point"
        if abs(value) >= Number(10) ** (self.total - self.places):
            return f"Expected at most {self.total - self.places} digits before the point"
        if self.min is not None and value < self.min:
            return f"Expected `decimal` >= {self.min}"
        if self.max is not None and value > self.max:
            return f"Expected `decimal` <= {self.max}"
        return None

    def from_json(self, value: str) -> Number:
        return Number(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "decimal", "pattern": self.pattern}

    def parse(self, text: str) -> Number:
        wrong = self.check(text)
        if wrong is not None:
            raise ValueError(wrong)
        return Number(text)

    def _misshapen(self, text: str) -> str:
        shape = _NUMBER.fullmatch(text)
        if shape is None:
            return 'Expected a decimal number such as "12.50"'
        if len(shape[2] or "") > self.places:
            return f"Expected at most {self.places} digits after the point"
        if text.startswith("-") and not self.pattern.startswith("^-"):
            return f"Expected `decimal` >= {self.min}"
        return f"Expected at most {self.total - self.places} digits before the point"
