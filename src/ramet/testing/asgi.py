"""The server's side of ASGI, as far as tests need it: an application's start and end, and one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ramet.testing.answer import Answer

Application = Callable[[Any, Any, Any], Awaitable[None]]
PATIENCE = 60.0
"""Seconds after which a test is told that the application does not answer."""


class Life:
    """The life of an application from `start` to `stop`."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self) -> None:
        """Starts the application. Raises RuntimeError with what it says when it cannot."""
        self._running = asyncio.ensure_future(self._app({"type": "lifespan"}, self._to_app.get, self._from_app.put))
        await self._pass("startup")

    async def stop(self) -> None:
        """Stops it. Raises RuntimeError with what it says when it does not stop cleanly."""
        await self._pass("shutdown")
        await self._running

    async def _pass(self, stage: str) -> None:
        await self._to_app.put({"type": f"lifespan.{stage}"})
        async with asyncio.timeout(PATIENCE):
            answer = await self._from_app.get()
        if answer["type"] != f"lifespan.{stage}.complete":
            await self._running
            raise RuntimeError(answer["message"])


def scope_of(method: str, path: str, query: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """A request as a server describes it."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in {"host": "testserver", **headers}.items()],
        "scheme": "http",
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
    }


async def exchange(
    app: Application, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """One request and its answer."""
    scope = scope_of(method, path, query, headers)
    if body:
        scope["headers"] = [*scope["headers"], (b"content-length", str(len(body)).encode())]
    sent: list[Any] = []

    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # as a server does, for a client that stays
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(PATIENCE):
        await app(scope, receive, send)
    start, *rest = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(part.get("body", b"") for part in rest))
