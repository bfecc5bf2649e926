"""The addresses that are no operations: health, readiness and metrics."""

from __future__ import annotations

from typing import Any

from ramet.interfaces.rest.openapi.responses import plain, problems

_PART = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "ok": {"type": "boolean"},
        "required": {"type": "boolean"},
        "detail": {"type": "string"},
        "milliseconds": {"type": "number", "minimum": 0},
    },
    "required": ["name", "ok", "required", "detail", "milliseconds"],
    "additionalProperties": False,
}
_PLAIN_REFUSALS = (400, 414, 431, 500)


def service_paths(metrics: bool) -> dict[str, dict[str, Any]]:
    """The path items of health, readiness and, if they are on, metrics."""
    live = plain("It lives.", _json(_state("alive")))
    ready = plain(
        "Ready for work; `degraded` if a part that it can do without is missing.", _json(_state("ready", "degraded"))
    )
    not_ready = plain("Not ready: send work elsewhere.", _json(_state("not_ready", "draining")))
    paths = {}
    for path, name in (("/health", "health"), ("/health/live", "health_live")):
        paths[path] = _get(name, "Whether the process lives", {"200": live})
    for path, name in (("/ready", "ready"), ("/health/ready", "health_ready")):
        paths[path] = _get(name, "Whether the process is ready for work", {"200": ready, "503": not_ready})
    if metrics:
        text = {"schema": {"type": "string"}}
        figures = plain("Figures for Prometheus.", {"text/plain": text, "application/openmetrics-text": text})
        paths["/metrics"] = _get("metrics", "What happened so far, in numbers", {"200": figures})
    return paths


def _get(name: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "tags": ["service"],
            "summary": summary,
            "security": [{}],
            "responses": {**answers, **problems(_PLAIN_REFUSALS)},
        }
    }


def _state(*statuses: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": list(statuses)},
            "detail": {"type": "string"},
            "parts": {"type": "array", "items": _PART},
        },
        "required": ["status"],
        "additionalProperties": False,
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
