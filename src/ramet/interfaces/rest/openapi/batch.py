"""Many operations in one request: which there are, and what each takes."""

from __future__ import annotations

from typing import Any

from ramet.declare.fields.reference import ID_PATTERN
from ramet.errors import ERRORS
from ramet.interfaces.rest.batch import METHODS
from ramet.interfaces.rest.openapi import responses
from ramet.interfaces.rest.openapi.parameters import HEADERS
from ramet.interfaces.rest.openapi.schemas import Schema, action_input_name, ref
from ramet.interfaces.rest.routes import Routes, Target

_TAGS = HEADERS["IfMatch"]["schema"]
_KEY = {"type": "string", "pattern": "^[ -~]*$", "maxLength": 255, "description": "As the header `Idempotency-Key`."}
_MATCH = {**_TAGS, "pattern": f"^$|{_TAGS['pattern']}", "description": "As the header `If-Match`."}
_ABOUT = """With `atomic` (the default) all changes are one transaction: all of them are done, or none, and the first
refusal is the answer. Without it each operation, reading ones too, is done or refused on its own."""


def batch_operation(routes: Routes, limit: int) -> tuple[dict[str, Any], dict[str, Schema]]:
    """The operation object of the batch, and the schemas it needs."""
    body = {"anyOf": [ref("AtomicBatch"), ref("SeparateBatch")]}
    statuses = sorted({kind.status for kind in ERRORS.values()} - {405})
    results = ref("BatchResults")
    position = {"Ramet-Position": "Position"}
    operation = {
        "operationId": "batch",
        "tags": ["service"],
        "summary": "Many operations in one request",
        "description": _ABOUT,
        "security": [{"bearer": []}, {"cookie": []}, {}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": responses.done("What became of each.", results, position, measured=False),
            **responses.problems(statuses),
        },
    }
    changes = [_change(target) for target in routes if _is_change(target)]
    schemas = {
        "AtomicBatch": _batch({"type": "boolean", "const": True, "default": True}, {"anyOf": changes}, limit, []),
        "SeparateBatch": _batch({"type": "boolean", "const": False}, ref("BatchPart"), limit, ["atomic"]),
        "BatchPart": _part(
            {"type": "string", "enum": list(METHODS)},
            {"type": "string", "description": "The address, with its query: `/api/v1/tasks?limit=5`."},
            {"type": ["object", "null"]},
            needs_body=False,
            headers=({"type": "string"}, {"type": "string"}),
        ),
        "BatchResults": _RESULTS,
    }
    if not changes:
        del schemas["AtomicBatch"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref("SeparateBatch")}}}
    return operation, schemas


def _is_change(target: Target) -> bool:
    if target.action is not None:
        return target.action.transaction
    return target.kind not in ("list", "get")


def _change(target: Target) -> Schema:
    path = {"type": "string", "pattern": f"^{target.path.replace('{id}', ID_PATTERN[1:-1])}$"}
    body, needed = _body(target)
    return _part({"type": "string", "const": target.method}, path, body, needs_body=needed)


def _body(target: Target) -> tuple[Schema, bool]:
    """What a part may have as its body, and whether it must have one."""
    info, action = target.info, target.action
    if target.kind in ("create", "replace", "update"):
        name = f"{info.name}{target.kind.title()}"
        needed = target.kind != "update" and any(info.fields[key].required for key in info.inputs.writable)
    elif action is not None and action.fields:
        name = action_input_name(info, action)
        needed = any(field.required for field in action.fields.values())
    elif action is not None:
        return {"type": ["object", "null"], "maxProperties": 0}, False
    else:
        return {"type": "null"}, False
    return (ref(name) if needed else {"anyOf": [ref(name), {"type": "null"}]}), needed


def _part(
    method: Schema, path: Schema, body: Schema, *, needs_body: bool, headers: tuple[Schema, Schema] = (_MATCH, _KEY)
) -> Schema:
    match, key = headers
    return {
        "type": "object",
        "properties": {"method": method, "path": path, "body": body, "if_match": match, "idempotency_key": key},
        "required": ["method", "path", *(["body"] if needs_body else [])],
        "additionalProperties": False,
    }


def _batch(atomic: Schema, item: Schema, limit: int, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": {
            "atomic": atomic,
            "operations": {"type": "array", "items": item, "minItems": 1, "maxItems": limit},
        },
        "required": ["operations", *required],
        "additionalProperties": False,
    }


_RESULTS: Schema = {
    "type": "object",
    "properties": {
        "results": {
            "type": "array",
            "description": "One for each operation, in their order.",
            "items": {
                "type": "object",
                "properties": {
                    "status": {"type": "integer", "minimum": 200, "maximum": 599},
                    "etag": {"type": "string"},
                    "location": {"type": "string", "description": "The id of a new record."},
                    "body": {"type": ["object", "array", "string", "number", "boolean", "null"]},
                },
                "required": ["status"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["results"],
    "additionalProperties": False,
}
