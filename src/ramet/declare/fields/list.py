"""Lists of one field type."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ramet.declare.fields.base import Field, nullable


class ListOf(Field):
    """A list of at most `max_items` values of one type."""

    kind = "list"
    column = "json"
    operators = ("is",)
    checked = True
    __slots__ = ("item", "max_items")

    def __init__(self, item: Field, max_items: int = 100) -> None:
        super().__init__()
        self.item = item
        self.max_items = max_items

    @property
    def sortable(self) -> bool:
        return False

    def input_type(self) -> Any:
        return self._of(self.item.input_type())

    def json_type(self) -> Any:
        return self._of(self.item.json_type())

    def _of(self, item: Any) -> Any:
        kind = item | None if self.item.optional else item
        return Annotated[list[kind], msgspec.Meta(max_length=self.max_items)]  # type: ignore[valid-type]  # built at run time

    def check(self, value: list[Any]) -> str | None:
        if self.item.checked:
            for place, item in enumerate(value):
                wrong = None if item is None else self.item.check(item)
                if wrong is not None:
                    return f"{wrong} at position {place}"
        return None

    def from_json(self, value: list[Any]) -> list[Any]:
        return [item if item is None else self.item.from_json(item) for item in value] if self.item.checked else value

    def parse(self, text: str) -> list[Any]:
        parts = text.split(",") if text else []
        if len(parts) > self.max_items:
            raise ValueError(f"Expected at most {self.max_items} values")
        return [self.item.parse(part) for part in parts]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": nullable(self.item.schema(), self.item.optional), "maxItems": self.max_items}
