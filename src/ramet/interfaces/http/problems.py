"""Refusals as RFC 9457 `application/problem+json`, with the headers that belong to their status."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

from ramet.errors import Problem
from ramet.interfaces.transport.request import Response

REALM = "ramet"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NOT_QUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_BEARER_ERRORS: Mapping[str, str] = {"invalid_token": "invalid_token", "session_ended": "invalid_token"}
"""Codes that RFC 6750 has an error for. A request without a token gets none, so that it learns only the scheme."""
_RETRYABLE = frozenset({429, 503})


def render(problem: Problem, request_id: str = "") -> Response:
    """The answer that says `problem`. A `request_id` goes into `x-request-id`, and a UUID into `instance` too.

    429 and 503 always have `retry-after` (seconds, rounded up, at least 1); 401 has `www-authenticate`. The problem's
    own headers, `allow` of a 405 for instance, win over these.
    """
    instance = f"urn:uuid:{request_id}" if _UUID.fullmatch(request_id) else ""
    headers = [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ]
    own = {name for name, _ in problem.headers}
    retry_after = problem.retry_after
    if retry_after is None and problem.status in _RETRYABLE:
        retry_after = 1
    if retry_after is not None and "retry-after" not in own:
        headers.append(("retry-after", str(max(1, math.ceil(retry_after)))))
    if problem.status == 401 and "www-authenticate" not in own:
        headers.append(("www-authenticate", challenge(problem)))
    if request_id:
        headers.append(("x-request-id", request_id))
    headers += problem.headers
    return Response(problem.status, headers, msgspec.json.encode(problem.as_document(instance)))


def challenge(problem: Problem) -> str:
    """The `WWW-Authenticate` of a refusal, after RFC 6750 section 3."""
    error = _BEARER_ERRORS.get(problem.kind.code)
    if error is None:
        return f'Bearer realm="{REALM}"'
    description = _NOT_QUOTABLE.sub("'", problem.detail)
    return f'Bearer realm="{REALM}", error="{error}", error_description="{description}"'
