"""The query string of a list or a record, checked against the declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from ramet.data.query import Filter, Operator, Query
from ramet.declare.actions import ActionInfo
from ramet.declare.catalog import ResourceInfo
from ramet.declare.fields.base import Field
from ramet.declare.names import nearest
from ramet.errors import Fault, Problem
from ramet.operations.cursors import Cursors
from ramet.operations.inputs import MAX_FAULTS
from ramet.operations.ordering import read_order
from ramet.operations.reading import cursor_scope

MAX_PARAMETERS = 500
MAX_VALUES = 100
MAX_SEARCH = 200
REMEMBERED = 4_096
LONGEST_REMEMBERED = 1_024
"""Characters of a query string that is remembered: with what was read of it, several times that in bytes."""
WORDS: dict[str, Operator] = {
    "": "eq",
    "not": "ne",
    "lt": "lt",
    "lte": "lte",
    "gt": "gt",
    "gte": "gte",
    "in": "in",
    "contains": "contains",
    "starts": "starts",
    "is": "is",
}
LIST_PARAMETERS = ("limit", "after", "before", "sort", "fields", "expand", "count", "q")
GET_PARAMETERS = ("fields", "expand")


class Queries:
    """Reads query strings. What was read is remembered by its text, within a bound."""

    def __init__(self, cursors: Cursors, page_limit: int) -> None:
        self._cursors = cursors
        self._page_limit = page_limit
        self._remembered: dict[tuple[str, str, bool], Query] = {}

    def read(self, info: ResourceInfo, text: str, one: bool) -> Query:
        """The query of a list or of `one` record. Raises Problem `invalid_query` or `invalid_cursor`."""
        key = (info.name, text, one)
        found = self._remembered.get(key)
        if found is None:
            found = self.read_once(info, text, one)
            if len(text) > LONGEST_REMEMBERED:
                return found
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def read_once(self, info: ResourceInfo, text: str, one: bool) -> Query:
        """The same, for a text that will hardly come again: nothing is remembered."""
        return _Reader(info, self._cursors, self._page_limit).read(text, one)


def read_inputs(action: ActionInfo, text: str) -> dict[str, Any]:
    """The inputs of an action that only reads, from its query string. Raises Problem `invalid_query`."""
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, value in split_query(text, faults).items():
        if len(faults) >= MAX_FAULTS:
            break
        field = action.fields.get(name)
        if field is None:
            sentence = f"There is no such parameter here.{nearest(name, action.fields)}"
            faults.append(Fault(f"?{name[:80]}", "unknown_parameter", sentence))
            continue
        try:
            parsed = field.parse(value)
        except ValueError as error:
            faults.append(Fault(f"?{name[:80]}", "invalid_value", f"{error}."))
        else:
            # The values go on as if they had come in JSON, where decimals are text.
            values[name] = value if field.column == "decimal" else parsed
    if faults:
        raise Problem("invalid_query", faults=faults)
    return values


def split_query(text: str, faults: list[Fault]) -> dict[str, str]:
    """The parameters of a query string by name; what is wrong with them is added to `faults`."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise Problem("invalid_query", "The query string is not UTF-8 once it is percent-decoded.") from None
    except ValueError:
        raise Problem("invalid_query", f"A request may have {MAX_PARAMETERS} parameters.") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            sentence = "This parameter occurs twice; for several values use `[in]=a,b`."
            faults.append(Fault(f"?{name[:80]}", "repeated", sentence))
        if "\0" in name or "\0" in value:
            shown = name.replace("\0", "")[:80]
            faults.append(Fault(f"?{shown}", "invalid_value", "Expected text without NUL characters."))
        given[name] = value
    return given


class _Reader:
    """Reads one query string, collecting what is wrong with it."""

    def __init__(self, info: ResourceInfo, cursors: Cursors, page_limit: int) -> None:
        self._info = info
        self._cursors = cursors
        self._page_limit = page_limit
        self._faults: list[Fault] = []
        self._shown = [name for name in info.fields if not info.fields[name].marks.hidden]

    def read(self, text: str, one: bool) -> Query:
        given = split_query(text, self._faults)
        known = GET_PARAMETERS if one else LIST_PARAMETERS
        controls = {name: value for name, value in given.items() if name in known}
        filters = [] if one else [self._filter(name, value) for name, value in given.items() if name not in known]
        if one:
            for name in given.keys() - controls.keys():
                self._fault(name, "unknown_parameter", f"There is no such parameter here.{nearest(name, known)}")
        fields = self._names(controls, "fields", self._shown)
        expand = self._names(controls, "expand", list(self._info.references)) or ()
        if fields is not None:
            fields += tuple(name for name in expand if name not in fields)
        sort = self._try("sort", self._sort, controls.get("sort", self._info.sort)) or ()
        limit = self._try("limit", self._limit, controls.get("limit", str(min(20, self._page_limit)))) or 1
        place, backward = self._place(controls, sort)
        count = self._try("count", self._count, controls.get("count")) or False
        search = self._try("q", self._search, controls.get("q")) or ""
        if self._faults:
            raise Problem("invalid_query", faults=self._faults)
        kept = tuple(sorted((item for item in filters if item is not None), key=repr))
        key = repr((kept, sort, limit, place, backward, fields, expand, count, search)) if given else ""
        return Query(kept, sort, limit, place, backward, fields, expand, count, search, key)

    def _filter(self, key: str, value: str) -> Filter | None:
        name, bracket, word = key.partition("[")
        word = word.removesuffix("]") if bracket and word.endswith("]") else ("" if not bracket else "?")
        field = self._info.fields.get(name)
        if field is None or field.marks.hidden:
            known = [*self._shown, *LIST_PARAMETERS]
            self._fault(key, "unknown_parameter", f"There is no such field or parameter.{nearest(name, known)}")
            return None
        operator = WORDS.get(word)
        if operator is None or operator not in field.operators or (bracket and not word):
            words = [known for known, meant in WORDS.items() if meant in field.operators]
            ways = ", ".join(f"{name}[{known}]" if known else name for known in words)
            hint = nearest(word, filter(None, words))
            self._fault(key, "unknown_filter", f"This field can be filtered by {ways}.{hint}")
            return None
        values = self._try(key, lambda text: self._values(field, operator, text), value)
        return None if values is None else Filter(name, operator, values)

    def _values(self, field: Field, operator: Operator, text: str) -> tuple[Any, ...]:
        if operator == "is":
            if text not in ("null", "not_null"):
                raise ValueError("Expected null or not_null")
            return (text == "null",)
        if operator == "in":
            parts = text.split(",")
            if len(parts) > MAX_VALUES:
                raise ValueError(f"Expected at most {MAX_VALUES} values")
            return tuple(dict.fromkeys(field.parse(part) for part in parts))
        if operator in ("contains", "starts"):
            if not 1 <= len(text) <= MAX_SEARCH:
                raise ValueError(f"Expected 1 to {MAX_SEARCH} characters")
            return (text,)
        return (field.parse(text),)

    def _names(self, controls: dict[str, str], parameter: str, known: list[str]) -> tuple[str, ...] | None:
        text = controls.get(parameter)
        if text is None:
            return None
        names = tuple(dict.fromkeys(text.split(",")))
        wrong = [name for name in names if name not in known]
        for name in wrong:
            self._fault(parameter, "unknown_field", f"There is no '{name[:80]}' here.{nearest(name, known)}")
        return None if wrong else names

    def _place(
        self, controls: dict[str, str], sort: tuple[tuple[str, bool], ...]
    ) -> tuple[tuple[Any, ...] | None, bool]:
        backward = "before" in controls
        if backward and "after" in controls:
            self._fault("before", "conflict", "Give `after` or `before`, not both.")
        text = controls.get("before", controls.get("after"))
        if text is None or self._faults:
            return None, False
        return self._cursors.read(cursor_scope(self._info, sort), text), backward

    def _sort(self, text: str) -> tuple[tuple[str, bool], ...]:
        try:
            return read_order(self._info, text)
        except KeyError as error:
            name = str(error.args[0])
            known = [key for key in self._shown if self._info.fields[key].sortable]
            raise ValueError(f"There is no field '{name[:80]}' to sort by.{nearest(name, known)}") from None

    def _limit(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= self._page_limit):
            raise ValueError(f"Expected a number from 1 to {self._page_limit}")
        return int(text)

    def _count(self, text: str | None) -> bool:
        if text not in (None, "exact"):
            raise ValueError("Expected exact")
        return text == "exact"

    def _search(self, text: str | None) -> str:
        if text is None:
            return ""
        if not self._info.search:
            raise ValueError("This resource has no text search")
        if not 1 <= len(text) <= MAX_SEARCH:
            raise ValueError(f"Expected 1 to {MAX_SEARCH} characters")
        return text

    def _try(self, name: str, read: Callable[[Any], Any], value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            sentence = str(error)
            self._fault(name, "invalid_value", sentence if sentence.endswith(("?", ".")) else sentence + ".")
            return None

    def _fault(self, name: str, code: str, sentence: str) -> None:
        self._faults.append(Fault(f"?{name[:80]}", code, sentence))
        if len(self._faults) >= MAX_FAULTS:
            raise Problem("invalid_query", faults=self._faults)
