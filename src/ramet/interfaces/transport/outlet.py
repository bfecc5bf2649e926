"""Where the bytes of a long answer go, whatever server carries them, and how many have not arrived yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from ramet.interfaces.transport.request import Response
from ramet.interfaces.transport.taken import Taken
from ramet.interfaces.transport.websocket import WebSocket

OVERHEAD = 64
"""What a message in a queue takes beside its bytes."""


class Outlet(Protocol):
    """A connection that is written to and never waited for: whoever writes looks at `pending` and stops in time."""

    gone: Callable[[], None]
    """Called once when the other end has gone."""

    @property
    def measured(self) -> bool:
        """Whether `pending` falls when bytes arrive. If not, it only tells how much has been written."""

    def send(self, data: bytes) -> None: ...

    def pending(self) -> int:
        """Bytes that were written and have not arrived, as far as is known; a little too many rather than too few."""

    def close(self) -> None:
        """Ends after what was sent."""

    async def flushed(self) -> None:
        """Waits, after `close`, until the server has taken all of it."""

    def abort(self) -> None:
        """Ends at once; what has not arrived is dropped."""


class StreamResponse(Response, kw_only=True):
    """An answer without end: `begin` is given the outlet once the headers are on their way."""

    begin: Callable[[Outlet], Awaitable[None]]
    leave: Callable[[], object] = lambda: None
    """Called instead of `begin` when the headers cannot be sent."""


class SwitchResponse(Response, kw_only=True):
    """The answer to a handshake: `connection` becomes a WebSocket, which `begin` is given, or None when it does not.

    Its messages have at most `longest` bytes.
    """

    connection: Taken
    longest: int
    begin: Callable[[WebSocket | None], None]


class QueuedOutlet:
    """An outlet over a server that makes who writes wait until the connection takes more.

    `write` sends one message, `drop` ends the connection whatever is still being written. A task lives only while
    there is something to write.
    """

    measured = True

    def __init__(self, write: Callable[[bytes], Awaitable[None]], drop: Callable[[], object]) -> None:
        self.gone: Callable[[], None] = lambda: None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write = write
        self._drop = drop
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def send(self, data: bytes) -> None:
        if self._closing:
            return
        self._queue.append(data)
        self._bytes += len(data) + OVERHEAD
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain(), name="write to a stream")

    def pending(self) -> int:
        return self._bytes

    def close(self) -> None:
        self._closing = True
        if self._task is None:
            self._finish()

    async def flushed(self) -> None:
        await asyncio.wait([self.done])

    def abort(self) -> None:
        self._closing = True
        self._queue.clear()
        self._drop()
        if self._task is not None:
            self._task.cancel()
        self._finish()

    def lost(self) -> None:
        """The other end has gone."""
        if not self._closing:
            self.abort()
            self.gone()

    async def _drain(self) -> None:
        try:
            while self._queue:
                data = self._queue.popleft()
                await self._write(data)
                self._bytes -= len(data) + OVERHEAD
        except Exception:  # servers differ in what they raise for a connection that has gone
            self._task = None
            self.lost()
        finally:
            self._task = None
        if self._closing:
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
