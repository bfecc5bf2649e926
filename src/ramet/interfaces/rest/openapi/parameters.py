"""The parameters of operations: identifiers, query strings and request headers."""

from __future__ import annotations

from typing import Any

from ramet.declare.catalog import ResourceInfo
from ramet.declare.fields.base import Field
from ramet.declare.fields.reference import ID_PATTERN
from ramet.declare.fields.text import NO_NUL
from ramet.interfaces.rest.query import MAX_SEARCH, MAX_VALUES, WORDS
from ramet.operations.cursors import MAX_LENGTH

Parameter = dict[str, Any]

_TAG = r'(W/)?"[!#-~]*"'
_TAGS = rf"^(\*|{_TAG}(, ?{_TAG})*)$"
_MEANINGS = {
    "eq": "equals this",
    "ne": "differs from this",
    "lt": "is less than this",
    "lte": "is at most this",
    "gt": "is greater than this",
    "gte": "is at least this",
    "in": "is one of these",
    "contains": "contains this, whatever the case",
    "starts": "starts with this",
    "is": "is null, or is not",
}

# Shared by many operations, so they stand in the components.
HEADERS: dict[str, Parameter] = {
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "Change the record only if its `ETag` is one of these; otherwise nothing happens (412).",
        "schema": {"type": "string", "pattern": _TAGS},
        "example": '"3"',
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of a copy that you have: if it is current, the answer is 304 without a body.",
        "schema": {"type": "string", "pattern": _TAGS},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A text of your choice, new for each intent. Sent again with the same input it changes nothing "
        "and gets the first answer again, for a day.",
        "schema": {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "maxLength": 255},
        "example": "7b5e0c1e-order-42",
    },
    "Position": {
        "name": "Ramet-Position",
        "in": "header",
        "description": "The `Ramet-Position` of an earlier answer: what you read is then at least as new as that.",
        "schema": {"type": "string"},
    },
}


REQUIRED_MATCH: Parameter = {
    **HEADERS["IfMatch"],
    "required": True,
    "description": "The record's `ETag`: the change is made only if it is still current (412), and not without (428). "
    "`*` stands for any version.",
}


def header(name: str) -> Parameter:
    """A reference to one of `HEADERS`."""
    return {"$ref": f"#/components/parameters/{name}"}


def identifier(info: ResourceInfo) -> Parameter:
    """The record's id in the path."""
    pattern = f"^(me|{ID_PATTERN[1:-1]})$" if info.name == "User" else ID_PATTERN
    own = ", or `me` for your own" if info.name == "User" else ""
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": f"The record's id{own}.",
        "schema": {"type": "string", "pattern": pattern, **({} if own else {"format": "uuid"})},
    }


def selecting(info: ResourceInfo) -> list[Parameter]:
    """`fields` and `expand`."""
    found = [_names("fields", list(info.readable), "Give only these fields of each record.")]
    references = [name for name, field in info.references.items() if not field.marks.hidden]
    if references:
        found.append(_names("expand", references, "Give the records that these fields refer to, in `expanded`."))
    return found


def listing(info: ResourceInfo, page_limit: int, closed: frozenset[str]) -> list[Parameter]:
    """Everything the query string of a list takes; by `closed` fields nobody may filter or sort."""
    open_fields = {name: f for name, f in info.fields.items() if not f.marks.hidden and name not in closed}
    keys = [name for name, field in open_fields.items() if field.sortable]
    directions = [direction + name for name in keys for direction in ("", "-")]
    order = _names("sort", directions, f"The order; `-` before a name means descending. Without it: `{info.sort}`.")
    cursor = {"type": "string", "format": "cursor", "minLength": 1, "maxLength": MAX_LENGTH}
    found = [
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": page_limit, "default": min(20, page_limit)},
            "Most records on the page.",
        ),
        _query("after", cursor, "`next` of the page before, in the same order: what follows it."),
        _query("before", cursor, "`previous` of the page after, in the same order. Not together with `after`."),
        order,
        *selecting(info),
        _query("count", {"type": "string", "enum": ["exact"]}, "Also count all records that match."),
    ]
    if info.search and closed.isdisjoint(info.search):
        text = {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH, "pattern": NO_NUL}
        found.append(_query("q", text, f"Words to look for in {', '.join(info.search)}."))
    for name, field in open_fields.items():
        found.extend(_filters(name, field))
    return found


def inputs(fields: dict[str, Field]) -> list[Parameter]:
    """The inputs of an action that only reads: each is a parameter in the address."""
    found = []
    for name, field in fields.items():
        schema = field.schema() or {"type": "string", "pattern": NO_NUL}
        parameter = {**_query(name, schema, field.marks.help or f"The input {name}."), "required": field.required}
        found.append({**parameter, "style": "form", "explode": False} if "items" in schema else parameter)
    return found


def _filters(name: str, field: Field) -> list[Parameter]:
    found = []
    for word, operator in WORDS.items():
        if operator not in field.operators:
            continue
        key = f"{name}[{word}]" if word else name
        meaning = f"Only records whose `{name}` {_MEANINGS[operator]}."
        if operator == "in":
            items = field.query_schema()
            if items.get("pattern") == NO_NUL:
                items = {**items, "pattern": "^[^\\u0000,]*$"}
            found.append(_several(key, items, MAX_VALUES, meaning))
        elif operator == "is":
            found.append(_query(key, {"type": "string", "enum": ["null", "not_null"]}, meaning))
        elif operator in ("contains", "starts"):
            text = {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH, "pattern": NO_NUL}
            found.append(_query(key, text, meaning))
        else:
            found.append(_query(key, field.query_schema(), meaning))
    return found


def _query(name: str, schema: dict[str, Any], description: str) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _names(name: str, known: list[str], description: str) -> Parameter:
    return _several(name, {"type": "string", "enum": known}, None, description)


def _several(name: str, items: dict[str, Any], most: int | None, description: str) -> Parameter:
    schema: dict[str, Any] = {"type": "array", "items": items, "minItems": 1}
    if most is not None:
        schema["maxItems"] = most
    return {**_query(name, schema, f"{description} Separated by commas."), "style": "form", "explode": False}
