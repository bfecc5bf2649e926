"""The outlet of a stream over RSGI, whose server queues whatever it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from ramet.interfaces.transport.sockets import Sockets

LOOK = 32_768
"""Bytes written since the last look at the socket after which it is looked at again."""
_sockets = Sockets()


class RsgiStream(Protocol):
    """An answer under way; it ends when this object is dropped. It queues without bound: nothing here ever waits."""

    def send_bytes(self, data: bytes, /) -> Awaitable[None]: ...


class RsgiOutlet:
    """Counts what it hands to the server, and asks the kernel how much of it has arrived.

    Where the kernel can't be asked (another system, a Unix socket) it is not `measured`.
    """

    def __init__(self, stream: RsgiStream, client: str, sockets: Sockets = _sockets) -> None:
        self.gone: Callable[[], None] = lambda: None
        self.measured = True
        self._stream: RsgiStream | None = stream
        self._client = client
        self._sockets = sockets
        self._handed = 0
        self._arrived = 0
        self._base: int | None = None

    def send(self, data: bytes) -> None:
        if self._stream is None:
            return
        self._handed += len(data) + len(f"{len(data):x}") + 4  # as a chunk: its length, and two line ends
        if not _taken(self._stream.send_bytes(data)):
            self._stream = None
            self.gone()

    def pending(self) -> int:
        waiting = self._handed - self._arrived
        if waiting < LOOK or self._stream is None:
            return waiting
        seen = self._sockets.arrived(self._client)
        if seen is None:
            self.measured = False
            return waiting
        self.measured = True
        if seen.queued == 0:
            # The server hands on as much as the kernel takes: all of it has arrived.
            self._base = seen.acked - self._handed
        elif self._base is None:
            self._base = seen.acked
        self._arrived = min(self._handed, seen.acked - self._base)
        return self._handed - self._arrived

    def close(self) -> None:
        self._stream = None

    async def flushed(self) -> None:
        """Nothing to wait for: the server finishes the answer before it stops."""

    def abort(self) -> None:
        self._stream = None
        self._sockets.abort(self._client)


def _taken(sent: Awaitable[None]) -> bool:
    """Whether the server took it. What it gives to await is always done: it is the answer, not a wait."""
    try:
        next(iter(sent.__await__()), None)
    except RuntimeError:
        return False
    return True
