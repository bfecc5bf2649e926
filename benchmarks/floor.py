"""The floor: a bare ASGI function that answers one constant body of `FLOOR_SIZE` bytes, whatever is asked.

It reads neither path nor body: no application on the same server can do less.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

BODY = b"x" * int(os.environ.get("FLOOR_SIZE", "2"))
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}
ANSWER = {"type": "http.response.body", "body": BODY}


async def app(_scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    await send(START)
    await send(ANSWER)
