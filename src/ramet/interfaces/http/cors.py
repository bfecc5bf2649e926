"""Which other sites' pages may call the API from a browser, after the Fetch standard. Off unless origins are set.

A listed origin may send credentials, so it is echoed, and answers vary by it. `*` lets any page read what needs no
cookie: it never allows credentials.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ramet.errors import SettingsError
from ramet.interfaces.transport.request import Request, Response

REQUEST_HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "ramet-position",
    "traceparent",
    "tracestate",
    "x-request-id",
)
RESPONSE_HEADERS = (
    "allow",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "ramet-cache",
    "ramet-position",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "www-authenticate",
    "x-request-id",
)
PREFLIGHT_AGE = 600
"""Seconds for which a browser may remember the answer to a preflight."""

_EXPOSED = ("access-control-expose-headers", ", ".join(RESPONSE_HEADERS))
_VARY = ("vary", "origin")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*?#@,]+")


class Cors:
    """The rule made from `settings.cors_origins`. Raises SettingsError when an entry is not an origin."""

    def __init__(self, origins: Iterable[str]) -> None:
        listed = {origin.rstrip("/").lower() for origin in origins}
        self._any = "*" in listed
        wrong = sorted(origin for origin in listed - {"*"} if not _ORIGIN.fullmatch(origin))
        if wrong:
            raise SettingsError(
                f"RAMET_CORS_ORIGINS: {', '.join(map(repr, wrong))} is not an origin. Write it as scheme://host or "
                "scheme://host:port, without a path, or `*` for all."
            )
        if self._any and len(listed) > 1:
            raise SettingsError(
                "RAMET_CORS_ORIGINS: `*` stands for all origins; leave the others out, or leave it out."
            )
        self.origins = frozenset(listed)
        self.enabled = bool(listed)

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this origin may read answers."""
        return origin is not None and (self._any or origin in self.origins)

    def headers(self, origin: str | None) -> list[tuple[str, str]]:
        """What to add to an answer to a request with this `Origin` (or none)."""
        if not self.enabled:
            return []
        if self._any:
            return [("access-control-allow-origin", "*"), _EXPOSED] if origin is not None else []
        if origin is None or origin not in self.origins:
            return [_VARY]
        return [
            ("access-control-allow-origin", origin),
            ("access-control-allow-credentials", "true"),
            _EXPOSED,
            _VARY,
        ]

    def complete(self, headers: list[tuple[str, str]], origin: str | None) -> None:
        """Adds them to the headers of an answer, each once: what it varies by already stays in the same line."""
        added = self.headers(origin)
        if added and added[-1] is _VARY:
            for place, (name, value) in enumerate(headers):
                if name == "vary":
                    headers[place] = (name, f"{value}, origin")
                    added.pop()
                    break
        headers += added

    def preflight(self, request: Request, methods: str) -> Response | None:
        """The answer to a preflight for an address that supports `methods`; None when the request is not one.

        Like every answer it has yet to be completed: here is only what no other has.
        """
        origin = request.header("origin")
        if (
            not self.enabled
            or request.method != "OPTIONS"
            or origin is None
            or request.header("access-control-request-method") is None
        ):
            return None
        vary = ("vary", "access-control-request-method, access-control-request-headers")
        if not self.allows(origin):
            return Response(204, [vary])
        headers = [
            ("access-control-allow-methods", methods),
            ("access-control-allow-headers", ", ".join(REQUEST_HEADERS)),
            ("access-control-max-age", str(PREFLIGHT_AGE)),
        ]
        return Response(204, [*headers, vary])
