"""What every field type has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

EQUALITY = ("eq", "ne", "in", "is")
ORDER = (*EQUALITY, "lt", "lte", "gt", "gte")
TEXTUAL = (*ORDER, "contains", "starts")


class Marks(msgspec.Struct, frozen=True):
    """What `Annotated` says of a field beside its type."""

    unique: bool = False
    hidden: bool = False
    read_only: bool = False
    write_once: bool = False
    help: str = ""


class Field:
    """One declared field. Subclasses say what the values are; instances hold what this field allows.

    `kind` names the type in messages and the console; `column` is the storage family that an engine maps to its own
    type; `operators` are the filters a list accepts.
    """

    kind: ClassVar[str]
    column: ClassVar[str]
    operators: ClassVar[tuple[str, ...]] = ORDER
    checked: ClassVar[bool] = False

    __slots__ = ("default", "default_factory", "marks", "name", "optional")

    def __init__(self) -> None:
        self.name = ""
        self.optional = False
        self.default: Any = msgspec.NODEFAULT
        self.default_factory: Callable[[], Any] | None = None
        self.marks = Marks()

    @property
    def required(self) -> bool:
        """Whether a create must give it."""
        return self.default is msgspec.NODEFAULT and self.default_factory is None

    def initial(self) -> Any:
        """The value of a field that the input leaves out."""
        return self.default_factory() if self.default_factory is not None else self.default

    @property
    def sortable(self) -> bool:
        """Whether lists can be sorted by it: a page's cursor must be able to hold its values."""
        return True

    def input_type(self) -> Any:
        """The msgspec type that decodes and checks this field's JSON, null excluded."""
        raise TypeError(f"{type(self).__name__} does not say what its input is")

    def json_type(self) -> Any:
        """The msgspec type of this field in JSON, where that is not the type of its Python value."""
        return self.input_type()

    def check(self, value: Any) -> str | None:
        """What is wrong with a decoded value beyond its type, as a sentence; None if nothing is. Used if `checked`."""
        return None

    def from_json(self, value: Any) -> Any:
        """The Python value of a decoded and checked one. Used if `checked`."""
        return value

    def schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of a value, null excluded."""
        raise TypeError(f"{type(self).__name__} does not say what its schema is")

    def query_schema(self) -> dict[str, Any]:
        """JSON Schema of what `parse` takes: a filter may ask for values that no record can have."""
        return self.schema()

    def parse(self, text: str) -> Any:
        """A value from a query parameter. Raises ValueError with a sentence."""
        try:
            value = msgspec.convert(text, self.input_type(), strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None
        wrong = self.check(value) if self.checked else None
        if wrong is not None:
            raise ValueError(wrong)
        return value


def nullable(schema: dict[str, Any], allowed: bool) -> dict[str, Any]:
    """The schema that takes null too, if that is allowed. One without a type takes null already."""
    if not allowed or "type" not in schema:
        return schema
    changed = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        changed["enum"] = [*schema["enum"], None]
    return changed
