"""True or false."""

from __future__ import annotations

from typing import Any

from ramet.declare.fields.base import EQUALITY, Field


class Boolean(Field):
    """True or false."""

    kind = "boolean"
    column = "boolean"
    operators = EQUALITY

    __slots__ = ()

    def input_type(self) -> Any:
        return bool

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError("Expected true or false")
        return text == "true"
