"""An application without resources: what it answers tells which process answers, and how it ends."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket

from ramet.interfaces.transport.mount import Mount
from ramet.interfaces.transport.request import Request, Response
from ramet.interfaces.transport.rsgi import serve_rsgi
from ramet.settings import Settings

if Path("broken-import").exists():
    raise RuntimeError("the application is broken")
if Path("slow-import").exists():
    sys.stdout.write("importing\n")
    sys.stdout.flush()
    while Path("slow-import").exists():
        time.sleep(0.01)  # waits: for the test


def tell(text: str) -> None:
    """A line for the test that started the process."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def listen(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that only listens on its WebSocket."""
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    try:
        await socket.send_text("hello")
        await socket.receive_text()
    finally:
        tell("left")


class Plain:
    """Files in the current folder make it misbehave."""

    draining = False

    def prepare(self, settings: Settings, revision: str = "") -> bool:
        return True

    def configure(self, settings: Settings) -> None:
        self.faults = {path.name for path in Path().iterdir()}

    async def startup(self) -> None:
        if "broken-start" in self.faults:
            raise RuntimeError("the application cannot start")
        if "slow-start" in self.faults:
            tell("starting")
            await asyncio.Event().wait()
        if "stubborn-start" in self.faults:
            tell("starting")
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

    async def drain(self) -> None:
        self.draining = True

    async def shutdown(self) -> None:
        if "slow-stop" in self.faults:
            await asyncio.Event().wait()
        tell(f"shutdown {os.getpid()}")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.path == "/socket":
            await Mount("/socket", listen).rsgi(scope, protocol)
        else:
            await serve_rsgi(self.answer, scope, protocol)

    async def answer(self, request: Request) -> Response:
        if request.path == "/die":
            os._exit(3)
        if request.path == "/never":
            tell("never")
            try:
                await asyncio.Event().wait()
            finally:
                tell("cancelled")
        body = await request.body(1_000)
        return Response(200, [("x-pid", str(os.getpid())), ("x-draining", str(self.draining))], body)


app = Plain()
