"""The event stream as an operation of the description. The WebSocket has no place in OpenAPI."""

from __future__ import annotations

from typing import Any

from ramet.declare.catalog import Catalog
from ramet.declare.fields.reference import ID_PATTERN
from ramet.interfaces.rest.openapi import responses

LONGEST_WAIT = 86_400
_ABOUT = """Server-sent events: `created`, `updated` and `deleted` with records as the caller may see them, `ready` once
everything missed has been told, `reload` when the list must be read again, and `end`. Every filter of the resource's
list is a further parameter. The WebSocket at `/api/v1/live` carries several subscriptions on one connection."""
_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "A place in the change log, to go on after."},
        "event": {"type": "string", "enum": ["ready", "created", "updated", "deleted", "reload", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
_REFUSALS = responses.EVERYWHERE | {403, 404}


def events_operation(catalog: Catalog) -> dict[str, Any]:
    """The operation object of `GET /api/v1/events`."""
    paths = [info.path for info in catalog if {"list", "get"} <= info.operations]
    mark = {"type": "string", "maxLength": 200, "pattern": "^[!-~]*$"}
    return {
        "operationId": "events",
        "tags": ["service"],
        "summary": "Changes as they happen",
        "description": _ABOUT,
        "security": [{"bearer": []}, {"cookie": []}, {}],
        "parameters": [
            {**_query("resource", {"type": "string", "enum": paths}, "What to watch."), "required": True},
            _query("id", {"type": "string", "format": "uuid", "pattern": ID_PATTERN}, "Only this record."),
            _query("last_event_id", mark, "Go on after this event."),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The same, as browsers send it; it wins.",
                "schema": mark,
            },
            _query(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT},
                "End after so many seconds; with 0 only what was missed is told.",
            ),
        ],
        "responses": {
            "200": responses.plain("The stream, event by event.", {"text/event-stream": {"schema": _EVENT}}),
            **responses.problems(sorted(_REFUSALS)),
        },
    }


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}
