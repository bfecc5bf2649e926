"""Text with a length in characters."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import TEXTUAL, Field

DEFAULT_MAX = 1_000
SORTABLE = 1_000
"""Characters beyond which a text is too long for a cursor."""
FILTER_MAX = 2_048
"""Characters of a text in an address, which is bounded itself."""
NO_NUL = "^[^\\u0000]*$"


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

    @property
    def sortable(self) -> bool:
        return self.max <= SORTABLE

    def input_type(self) -> Any:
        # Python's `$` would let a line feed follow.
        whole = None if self.pattern is None else rf"^(?:{self.pattern})$(?!\n)"
        return Annotated[str, msgspec.Meta(min_length=self.min or None, max_length=self.max, pattern=whole)]

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "maxLength": self.max}
        if self.min:
            schema["minLength"] = self.min
        schema["pattern"] = NO_NUL if self.pattern is None else f"^(?:{self.pattern})$"
        return schema

    def query_schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": FILTER_MAX, "pattern": NO_NUL}

    def parse(self, text: str) -> str:
        if len(text) > FILTER_MAX:
            raise ValueError(f"Expected at most {FILTER_MAX} characters")
        return text
