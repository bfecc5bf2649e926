"""`python -m benchmarks.floor PORT SIZE [turns]`: the floor. A bare ASGI function that answers a constant SIZE bytes.

It reads neither path nor body. The server is granian in the process's own uvloop, HTTP/1 only, otherwise as it comes.
With `turns` its threads are also scheduled as Ramet's are: what part of the distance between the two is that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], object, Send], Awaitable[None]]


def constant(size: int) -> Application:
    """An ASGI application that answers everything with the same `size` bytes."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    answer = {"type": "http.response.body", "body": b"x" * size}

    async def application(_scope: dict[str, Any], _receive: object, send: Send) -> None:
        await send(start)
        await send(answer)

    return application


def main(port: int, size: int, turns: bool) -> None:
    """Serves until it is told to stop."""
    if turns:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    server = Server(
        constant(size),
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        backpressure=1024,
        log_level=LogLevels.error,
    )
    uvloop.run(server.serve())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["turns"])
