"""Lists of one field type."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import Field


class ListOf(Field):
    """A list of at most `max_items` values of one type."""

    kind = "list"
    column = "json"
    operators = ("is",)
    sortable = False
    checked = True
    __slots__ = ("item", "max_items")

    def __init__(self, item: Field, max_items: int = 100) -> None:
        super().__init__()
        self.item = item
        self.max_items = max_items

    def input_type(self) -> Any:
        return Annotated[list[self.item.input_type()], msgspec.Meta(max_length=self.max_items)]  # type: ignore[misc]  # built at run time

    def check(self, value: list[Any]) -> str | None:
        if self.item.checked:
            for place, item in enumerate(value):
                wrong = self.item.check(item)
                if wrong is not None:
                    return f"{wrong} at position {place}"
        return None

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.max_items}
