"""One of a few named values."""

from __future__ import annotations

from typing import Any, Literal

from ramet.declare.fields.base import ORDER, Field


class Enumeration(Field):
    """One of `values`, each a text."""

    kind = "enumeration"
    column = "text"
    operators = ORDER
    __slots__ = ("values",)

    def __init__(self, values: tuple[str, ...]) -> None:
        super().__init__()
        self.values = values

    def input_type(self) -> Any:
        return Literal[self.values]

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values)}

    def parse(self, text: str) -> str:
        if text not in self.values:
            raise ValueError(f"Expected one of {', '.join(self.values)}")
        return text
