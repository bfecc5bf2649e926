"""What a list asks for, whatever interface asked."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Operator = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "contains", "starts", "is"]


class Filter(msgspec.Struct, frozen=True):
    """`field` compared with `values` (one, but for `in`). For `is` the value says whether null is wanted."""

    field: str
    operator: Operator
    values: tuple[Any, ...]


class Query(msgspec.Struct, frozen=True):
    """A checked list request. `sort` pairs fields with descending; `place` is a cursor's values, one for each sort key.

    `key` is the normalised text of all of it: two queries with one key have one answer.
    """

    filters: tuple[Filter, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    limit: int = 20
    place: tuple[Any, ...] | None = None
    backward: bool = False
    fields: tuple[str, ...] | None = None
    expand: tuple[str, ...] = ()
    count: bool = False
    search: str = ""
    key: str = ""

    @property
    def shape(self) -> tuple[Any, ...]:
        """All that the SQL depends on, without the values."""
        filters = tuple(
            (f.field, f.operator, len(f.values), f.values[0] if f.operator == "is" else None) for f in self.filters
        )
        nulls = None if self.place is None else tuple(value is None for value in self.place)
        return (filters, self.sort, nulls, self.backward, self.fields, bool(self.search))
