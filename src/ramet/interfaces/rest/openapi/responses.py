"""What operations answer: their headers, and every refusal with its problem document."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from ramet.errors import ERRORS, Fault, Problem
from ramet.interfaces.rest.routes import Target
from ramet.operations.operation import READS

Response = dict[str, Any]

EVERYWHERE = frozenset({400, 401, 406, 414, 429, 431, 500, 503, 504})
_CHANGES = frozenset({403, 408, 409, 413, 415, 422, 507})
_ALL = frozenset(kind.status for kind in ERRORS.values()) - {405}
"""405 answers methods that are not described, so no described operation has it."""
_RETRIED = frozenset({429, 503})

_TAG = {"type": "string", "pattern": '^"[!#-~]+"$'}
HEADERS: dict[str, Response] = {
    "RequestId": {"description": "Names this request in logs.", "required": True, "schema": {"type": "string"}},
    "Etag": {"description": "The version of what is given, for `If-None-Match`.", "required": True, "schema": _TAG},
    "EtagIfAny": {"description": "The record's version, if a record is given.", "schema": _TAG},
    "Cache": {
        "description": "Where the answer came from.",
        "required": True,
        "schema": {"type": "string", "enum": ["near", "shared", "miss", "bypass"]},
    },
    "Timing": {"description": "Milliseconds that each stage took.", "schema": {"type": "string"}},
    "Position": {
        "description": "How far the change log is with this change; send it back to read at least as new.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left of the limit: `r` requests, `t` seconds until all are there again.",
        "schema": {"type": "string", "pattern": '^"[a-z_]+";r=[0-9]+;t=[0-9]+$'},
    },
    "RateLimitPolicy": {
        "description": "The limit: `q` requests in `w` seconds.",
        "schema": {"type": "string", "pattern": '^"[a-z_]+";q=[0-9]+;w=[0-9]+$'},
    },
    "RetryAfter": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Location": {
        "description": "The address of the new record.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Replayed": {
        "description": "This answer was given before, to the same `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Authenticate": {
        "description": "How to sign in (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer "},
    },
    "Cookies": {"description": "Tokens for a browser, when it asked for cookies.", "schema": {"type": "string"}},
}
_ALWAYS = {"X-Request-Id": "RequestId"}
_DONE = {**_ALWAYS, "Ramet-Cache": "Cache"}
_MEASURED = {"Server-Timing": "Timing", "RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "A refusal (RFC 9457). `code` is stable; `hint` says what to do; `errors` lists an input's faults.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(ERRORS)},
        "hint": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "A JSON pointer into the body, or `?name` for a parameter in the address.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "code", "detail"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "hint"],
    "additionalProperties": False,
}
_FAULTS = {
    "invalid_input": Fault("/title", "required", "This field is required."),
    "invalid_query": Fault(
        "?staus", "unknown_parameter", "There is no such field or parameter. Did you mean 'status'?"
    ),
}


def refusals(target: Target) -> list[int]:
    """The statuses of the refusals that an operation can give."""
    hooked = any(when == "before" for when, _ in target.info.hooks)
    if target.kind in READS:
        found = EVERYWHERE | {403} | ({404} if target.kind == "get" else set())
    elif target.kind == "action" or hooked:
        found = _ALL  # what a team writes may refuse with any problem
    else:
        found = EVERYWHERE | _CHANGES | ({404, 412} if target.kind != "create" else set())
        found |= {428} if target.info.require_match else set()
    return sorted(found)


def problems(statuses: Iterable[int]) -> dict[str, Response]:
    """References to the shared responses of these statuses."""
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


def shared_problems() -> dict[str, Response]:
    """A response for each status of the table of errors, with an example of each code."""
    return {f"Problem{status}": _problem(status) for status in sorted({kind.status for kind in ERRORS.values()})}


def done(
    description: str, schema: Any = None, also: dict[str, str] | None = None, *, measured: bool = True
) -> Response:
    """A finished answer, with `schema` for its body if it has one; `also` names further headers.

    One that is `measured` tells the time it took and the limit it counted against; what is many operations does not.
    """
    found = {**_DONE, **(_MEASURED if measured else {}), **(also or {})}
    response: Response = {"description": description, "headers": headers(found)}
    if schema is not None:
        response["content"] = {"application/json": {"schema": schema}}
    return response


def plain(description: str, content: dict[str, Any]) -> Response:
    """An answer of an address that is no operation."""
    return {"description": description, "headers": headers(_ALWAYS), "content": content}


def headers(names: dict[str, str]) -> dict[str, Any]:
    """References to shared headers by the name they have on the wire."""
    return {name: {"$ref": f"#/components/headers/{key}"} for name, key in names.items()}


def _problem(status: int) -> Response:
    kinds = [kind for kind in ERRORS.values() if kind.status == status]
    if status in (414, 431):
        code, phrase = kinds[0].code, HTTPStatus(status).phrase
        return {"description": f"{phrase}: `{code}`. When it is far too much, the server breaks off without a body."}
    named = dict(_ALWAYS)
    if status in _RETRIED:
        named["Retry-After"] = "RetryAfter"
    if status == 401:
        named["WWW-Authenticate"] = "Authenticate"
    body = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"status": {"const": status}, "code": {"enum": [kind.code for kind in kinds]}},
    }
    examples = {kind.code: {"summary": kind.title, "value": _example(kind.code)} for kind in kinds}
    return {
        "description": f"{HTTPStatus(status).phrase}: {' or '.join(f'`{kind.code}`' for kind in kinds)}.",
        "headers": headers(named),
        "content": {"application/problem+json": {"schema": body, "examples": examples}},
    }


def _example(code: str) -> dict[str, Any]:
    fault = _FAULTS.get(code)
    return Problem(code, faults=() if fault is None else (fault,)).as_document()
