"""Start and stop of an ASGI application, by its lifespan."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ramet.interfaces.transport.asgi import AsgiApplication, Message

_log = logging.getLogger("ramet.transport")


class Lifespan:
    """The lifespan of one application. One that does not take part (Django) is left alone.

    `state` is what the application put there at its start; each of its requests gets a copy.
    """

    def __init__(self, app: AsgiApplication) -> None:
        self._app = app
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._done: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Start the application. Raises RuntimeError with its message when it says that it failed."""
        self._forget()
        try:
            failure = await self._reach("lifespan.startup")
        except asyncio.CancelledError:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait({self._task})
            raise
        if failure:
            raise RuntimeError(failure)

    async def shutdown(self) -> None:
        """Stop the application; a failure is logged."""
        if self._task is None or self._task.done():
            return
        failure = await self._reach("lifespan.shutdown")
        if failure:
            _log.error("a mounted application could not stop cleanly: %s", failure)
        await asyncio.wait({self._task})

    def _forget(self) -> None:
        """What is left of a life that is over, or of a start that failed."""
        if self._task is not None:
            self._task, self._events, self.state = None, asyncio.Queue(), {}

    async def _reach(self, step: str) -> str:
        self._done = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": step})
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await self._done

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.get, self._send)
        except Exception as error:
            _log.debug("a mounted application takes no part in the lifespan: %r", error)
        self._settle("")

    async def _send(self, message: Message) -> None:
        if message["type"].endswith(".failed"):
            self._settle(message.get("message") or "The mounted application could not start.")
        else:
            self._settle("")

    def _settle(self, failure: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(failure)
