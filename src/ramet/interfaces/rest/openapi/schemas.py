"""JSON Schemas of resources and actions: what a caller sends, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ramet.declare.actions import ActionInfo, resources_in
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.fields.base import Field, nullable
from ramet.declare.fields.reference import Reference
from ramet.declare.resource import Resource

REF = "#/components/schemas/{name}"
Schema = dict[str, Any]

# Without type, so that null and every other JSON value fits; NUL is the one thing no text may hold.
JSON_VALUE: Schema = {
    "description": "Any JSON value without NUL characters, at most 32 levels deep.",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        {"type": "string", "pattern": "^[^\\u0000]*$"},
        {"type": "array", "items": {"$ref": REF.format(name="JsonValue")}},
        {
            "type": "object",
            "propertyNames": {"pattern": "^[^\\u0000]*$"},
            "additionalProperties": {"$ref": REF.format(name="JsonValue")},
        },
    ],
}


def ref(name: str) -> Schema:
    """A reference to a schema of the components."""
    return {"$ref": REF.format(name=name)}


def value_schema(field: Field, catalog: Catalog) -> Schema:
    """The values of a field, null included where it may be null."""
    own = field.schema()
    schema = nullable(own, field.optional) if own else ref("JsonValue")
    described = dict(schema)
    if isinstance(field, Reference):
        target = catalog.by_name[field.target]
        described["description"] = f"The id of a record of {target.path}."
        described["x-resource"] = target.name
    if field.marks.help:
        described["description"] = field.marks.help
    return described


def record_schema(info: ResourceInfo, catalog: Catalog) -> Schema:
    """A record as it is given back. Fields that not every caller sees may be absent, or null."""
    properties: dict[str, Schema] = {}
    for name in info.readable:
        field = info.fields[name]
        shown = value_schema(field, catalog)
        properties[name] = nullable(shown, name in info.access.fields)
        if field.marks.read_only:
            properties[name]["readOnly"] = True
    required = [name for name in info.readable if name not in info.access.fields]
    if info.references:
        properties["expanded"] = expanded_schema(info, catalog)
    return {
        "type": "object",
        "description": info.doc or f"A record of {info.path}.",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def expanded_schema(info: ResourceInfo, catalog: Catalog) -> Schema:
    """The records that `expand` asks for; null for one that is not set, or that the caller may not see."""
    shown = {
        name: {"anyOf": [ref(f"{catalog.by_name[reference.target].name}Record"), {"type": "null"}]}
        for name, reference in info.references.items()
        if not reference.marks.hidden
    }
    return {
        "type": "object",
        "description": "With `expand`: the records that this one refers to.",
        "properties": shown,
        "additionalProperties": False,
    }


def selection_schema(name: str, record: Schema) -> Schema:
    """A record of which `fields` chose a part."""
    return {**record, "description": f"The fields of {name} that `fields` asks for.", "required": []}


def list_schema(name: str) -> Schema:
    """A page of records and the cursors of the pages beside it."""
    cursor = {"type": ["string", "null"], "maxLength": 2_000}
    return {
        "type": "object",
        "description": f"One page of {name} records.",
        "properties": {
            "items": {"type": "array", "items": {"anyOf": [ref(f"{name}Record"), ref(f"{name}Selection")]}},
            "next": {**cursor, "description": "What `after` takes to get the page after this one."},
            "previous": {**cursor, "description": "What `before` takes to get the page before this one."},
            "count": {
                "type": "integer",
                "minimum": 0,
                "description": "With `count=exact`: how many records there are on all pages.",
            },
        },
        "required": ["items", "next", "previous"],
        "additionalProperties": False,
    }


def input_schema(fields: Mapping[str, Field], catalog: Catalog, description: str, partial: bool = False) -> Schema:
    """The JSON object that a create, replace, update or action takes."""
    properties: dict[str, Schema] = {}
    for name, field in fields.items():
        properties[name] = value_schema(field, catalog)
        if not field.required and not partial:
            try:
                properties[name]["default"] = msgspec.to_builtins(field.initial())
            except TypeError:
                continue  # a default that JSON has no form for is known to the server only
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    required = [] if partial else [name for name, field in fields.items() if field.required]
    if required:
        schema["required"] = required
    return {**schema, "additionalProperties": False}


def resource_schemas(info: ResourceInfo, catalog: Catalog) -> dict[str, Schema]:
    """All schemas of one resource by name."""
    record = record_schema(info, catalog)
    schemas = {
        f"{info.name}Record": record,
        f"{info.name}Selection": selection_schema(info.name, record),
        f"{info.name}List": list_schema(info.name),
    }
    writable = {name: info.fields[name] for name in info.inputs.writable}
    if "create" in info.operations:
        schemas[f"{info.name}Create"] = input_schema(writable, catalog, f"A new record of {info.path}.")
    if "update" in info.operations:
        changeable = {name: info.fields[name] for name in info.inputs.changeable}
        whole = "The whole record; what is left out gets its default, and what was fixed at creation is repeated."
        schemas[f"{info.name}Replace"] = input_schema(writable, catalog, whole)
        schemas[f"{info.name}Update"] = input_schema(changeable, catalog, "The fields to change.", partial=True)
    for action in info.actions.values():
        if action.fields and not action.reads:
            schemas[action_input_name(info, action)] = input_schema(
                action.fields, catalog, f"What {action.name.replace('_', ' ')} takes."
            )
    return schemas


def action_input_name(info: ResourceInfo, action: ActionInfo) -> str:
    """What the schema of an action's input is called."""
    return f"{info.name}{action.name.title().replace('_', '')}Input"


def output_schema(output: Any, catalog: Catalog, shared: dict[str, Schema]) -> Schema | None:
    """What an action answers, None when it answers nothing. Named parts of it are added to `shared`."""
    if output is None or output is type(None):
        return None
    if output is Any:
        return ref("JsonValue")
    if isinstance(output, type) and issubclass(output, Resource):
        return ref(f"{catalog.of(output).name}Record")
    (schema,), named = msgspec.json.schema_components([output], ref_template=REF)
    resources = {cls.__name__ for cls in resources_in(output)}
    shared.update({name: part for name, part in named.items() if name not in resources})
    return dict(_records_for(schema, resources))


def _records_for(schema: Any, resources: set[str]) -> Any:
    """References to a resource's class lead to its record."""
    if isinstance(schema, list):
        return [_records_for(part, resources) for part in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name in resources:
        return ref(f"{name}Record")
    return {key: _records_for(part, resources) for key, part in schema.items()}
