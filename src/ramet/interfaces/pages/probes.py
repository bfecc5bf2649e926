"""Health and metrics for load balancers, orchestrators and Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ramet.interfaces.transport.request import Request, Response

Live = Callable[[], tuple[int, dict[str, Any]]]
Ready = Callable[[], Awaitable[tuple[int, dict[str, Any]]]]
Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
Page = Callable[[Request], Awaitable[Response]]

LIVE = ("/health", "/health/live")
READY = ("/ready", "/health/ready")
METRICS = "/metrics"
VITAL = frozenset({*LIVE, *READY, METRICS})
"""Answered however loaded the process is."""


def probes(live: Live, ready: Ready, scrape: Scrape | None) -> dict[str, Page]:
    """The probes by address. Without `scrape` there are no metrics."""

    async def answer_live(request: Request) -> Response:
        return document(*live())

    async def answer_ready(request: Request) -> Response:
        return document(*await ready())

    pages: dict[str, Page] = dict.fromkeys(LIVE, answer_live)
    pages.update(dict.fromkeys(READY, answer_ready))
    if scrape is not None:

        async def answer_metrics(request: Request) -> Response:
            body, kind = await scrape(request.header("accept") or "")
            return Response(200, [("content-type", kind), ("cache-control", "no-store")], body)

        pages[METRICS] = answer_metrics
    return pages


def document(status: int, content: dict[str, Any]) -> Response:
    """A JSON document that nobody keeps."""
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    return Response(status, headers, msgspec.json.encode(content))
