"""What is served while the database cannot be used yet: it says why, and the application opens once it can."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ramet.errors import Problem, Unready
from ramet.interfaces.http.problems import render
from ramet.interfaces.pages.probes import LIVE, READY, document
from ramet.interfaces.transport.request import Request, Response

PAUSE = 1.0
"""Seconds between two tries."""


class Waiting:
    """Opens an application by `open`, tried again for as long as it raises Unready, or Problem `unavailable`."""

    def __init__(self, open: Callable[[], Awaitable[None]]) -> None:
        self._open = open
        self._reason = ""
        self._tries = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> bool:
        """Whether it could be opened at once; else this is to answer requests until it can. Once is enough."""
        if self._task is not None:
            return False
        if await self._try():
            return True
        self._tries = True
        self._task = asyncio.create_task(self._retry(), name="wait for the database")
        return False

    async def stop(self) -> None:
        """Ends the tries."""
        if self._task is not None:
            self._tries = False
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def at_once(self, request: Request) -> Response | None:
        """Nothing is answered in the turn it comes in with."""
        return None

    def receive(self, request: Request) -> None:
        """No body is taken."""

    async def __call__(self, request: Request) -> Response:
        """503 for everything but the sign of life; readiness says what is missing."""
        if request.path in READY:
            part = {"name": "database", "ok": False, "required": True, "detail": self._reason}
            found: dict[str, Any] = {"status": "not_ready", "parts": [part]}
            return document(503, found)
        if request.path in LIVE:
            return document(200, {"status": "alive"})
        return render(Problem("unavailable", "The database cannot be used yet.", retry_after=PAUSE))

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuses a WebSocket over ASGI: 1013 means to try again later."""
        await receive()
        await send({"type": "websocket.close", "code": 1013})

    async def _try(self) -> bool:
        try:
            await self._open()
        except Unready as reason:
            self._wait(str(reason))
            return False
        except Problem as problem:
            if problem.kind.code != "unavailable":
                raise
            self._wait(f"{problem.detail} Look at RAMET_DATABASE_URL and at the server.")
            return False
        return True

    def _wait(self, reason: str) -> None:
        """Says why, once for each reason."""
        if reason != self._reason:
            self._reason = reason
            sys.stderr.write(f"Waiting: {reason}\n")

    async def _retry(self) -> None:
        while self._tries:  # what fails as a try is given up takes the place of being cancelled
            await asyncio.sleep(PAUSE)
            try:
                if await self._try():
                    return
            except Exception as error:
                self._reason = "The application could not be started. Its log says why."
                sys.stderr.write(f"The application could not be started and is tried again: {error!r}\n")
