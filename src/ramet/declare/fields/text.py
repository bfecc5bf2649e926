"""Text with a length in characters."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import TEXTUAL, Field

DEFAULT_MAX = 1_000


class Text(Field):
    """Unicode text of `min` to `max` characters, without NUL."""

    kind = "text"
    column = "text"
    operators = TEXTUAL
    __slots__ = ("max", "min", "pattern")

    def __init__(self, min: int = 0, max: int = DEFAULT_MAX, pattern: str | None = None) -> None:
        super().__init__()
        self.min = min
        self.max = max
        self.pattern = pattern

    def input_type(self) -> Any:
        return Annotated[str, msgspec.Meta(min_length=self.min or None, max_length=self.max, pattern=self.pattern)]

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "maxLength": self.max}
        if self.min:
            schema["minLength"] = self.min
        if self.pattern:
            schema["pattern"] = self.pattern
        return schema

    def parse(self, text: str) -> str:
        if len(text) > max(self.max, DEFAULT_MAX):
            raise ValueError(f"Expected at most {self.max} characters")
        return text
