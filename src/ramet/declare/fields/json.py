"""Any JSON value."""

from __future__ import annotations

from typing import Any

import msgspec

from ramet.declare.fields.base import Field

MAX_DEPTH = 32


class JsonValue(Field):
    """Any JSON value of at most `max_bytes` encoded and 32 levels."""

    kind = "json"
    column = "json"
    operators = ("is",)
    checked = True
    __slots__ = ("max_bytes",)

    def __init__(self, max_bytes: int = 65_536) -> None:
        super().__init__()
        self.max_bytes = max_bytes

    @property
    def sortable(self) -> bool:
        return False

    def input_type(self) -> Any:
        return Any

    def check(self, value: Any) -> str | None:
        if depth(value) > MAX_DEPTH:
            return f"Expected at most {MAX_DEPTH} levels"
        if len(msgspec.json.encode(value)) > self.max_bytes:
            return f"Expected at most {self.max_bytes} bytes of JSON"
        return None

    def schema(self) -> dict[str, Any]:
        return {}


def depth(value: Any) -> int:
    """How many lists and objects are nested in a JSON value; 0 for a scalar."""
    deepest = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest
