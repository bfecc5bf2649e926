"""While the database cannot be used a WebSocket over ASGI is refused. Over RSGI it is a request."""

from __future__ import annotations

from typing import Any

from ramet.errors import Unready
from ramet.interfaces.pages.waiting import Waiting


async def unready() -> None:
    raise Unready("no")


async def test_a_websocket_is_refused_until_the_application_is_open() -> None:
    waiting = Waiting(unready)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await waiting.asgi({}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1013}]
