"""The filters of a list on a record in memory, with the meaning they have in SQL (`data/reads.py`)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ramet.data.codec import RecordCodec
from ramet.data.query import Filter
from ramet.operations.watching.logged import Logged

Test = Callable[[Any], bool]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


class Filters:
    """All filters of one query. Values are compared as the engine stores them, so that roundings agree."""

    __slots__ = ("_tests",)

    def __init__(self, filters: Sequence[Filter], codec: RecordCodec) -> None:
        self._tests = tuple((item.field, _test(item, codec)) for item in filters)

    def __bool__(self) -> bool:
        return bool(self._tests)

    def admit(self, logged: Logged) -> bool:
        """Whether a list with these filters would hold the record."""
        return all(test(logged.stored(field)) for field, test in self._tests)


def _test(item: Filter, codec: RecordCodec) -> Test:
    """Null meets no comparison but `ne` and `is`."""
    first = item.values[0]
    match item.operator:
        case "is":
            return lambda value: (value is None) == first
        case "in":
            wanted = frozenset(codec.bind(item.field, value) for value in item.values)
            return lambda value: value is not None and value in wanted
        case "contains":
            inner = first.casefold()
            return lambda value: value is not None and inner in value.casefold()
        case "starts":
            begin = first.casefold()
            return lambda value: value is not None and value.casefold().startswith(begin)
    bound = codec.bind(item.field, first)
    if item.operator == "ne":
        return lambda value: value is None or value != bound
    compare = _COMPARE[item.operator]
    return lambda value: value is not None and compare(value, bound)
