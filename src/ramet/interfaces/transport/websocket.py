"""One WebSocket (RFC 6455) on a connection that the embedded server has given up: see `upgrade`.

The server's own takes 128 KiB for each connection, for good, with no setting for it; this one a few thousand bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

MOST_WAITING = 16
"""Messages that wait to be handled before nothing more is read."""
FAREWELL = 2.0
"""Seconds for the client to take our last words and to answer them."""
GOING_AWAY = 1001
"""The code with which a server ends it."""
GONE = 1006
"""The code of a connection that ended without one."""


class WebSocket(asyncio.Protocol):
    """The protocol of an asyncio transport. `arrived` is called when a message waits, `ended` once when it is over.

    Messages are text or bytes, of at most `longest` bytes in however many frames. What is sent is never waited for:
    `pending` tells how much the kernel has not taken.
    """

    __slots__ = (
        "_end",
        "_frames",
        "_joined",
        "_messages",
        "_patience",
        "_room",
        "_transport",
        "arrived",
        "ended",
        "over",
    )

    count: ClassVar[int] = 0
    """How many of this process are open."""
    _transport: asyncio.Transport

    def __init__(self, longest: int) -> None:
        self.arrived: Callable[[], None] = _nothing
        self.ended: Callable[[], None] = _nothing
        self.over = False
        self._frames = Protocol(Side.SERVER, state=State.OPEN, max_size=longest)
        self._messages: deque[str | bytes] = deque()
        self._joined: list[Frame] = []
        self._patience: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None
        self._end: asyncio.Future[None] | None = None

    @property
    def open(self) -> bool:
        """Whether it takes messages: neither side has said that it will end."""
        return self._frames.state is State.OPEN

    @property
    def code(self) -> int:
        """Why the client has ended it; GONE without a word."""
        return self._frames.close_code or GONE

    def send(self, data: bytes, *, text: bool = True) -> None:
        """A message; nothing when it is closing."""
        if self.open:
            (self._frames.send_text if text else self._frames.send_binary)(data)
            self._write()

    @property
    def waiting(self) -> int:
        """Messages that have not been handled."""
        return len(self._messages)

    def pending(self) -> int:
        """Bytes that the kernel has not taken."""
        return 0 if self.over else self._transport.get_write_buffer_size()

    def next(self) -> str | bytes | None:
        """The message that waits, if one does."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        if len(self._messages) == MOST_WAITING // 2 and not self.over:
            self._transport.resume_reading()
        return message

    async def receive(self) -> str | bytes | None:
        """The next message; None when there will be none. For one caller, who leaves `arrived` and `ended` alone."""
        if not self._messages and not self.over:
            waiter = asyncio.get_running_loop().create_future()
            self.arrived = self.ended = lambda: None if waiter.done() else waiter.set_result(None)
            await waiter
            self.arrived = self.ended = _nothing
        return self.next()

    def close(self, code: int) -> None:
        """Ends it after what was sent: in order, if the client answers in time."""
        if self.open:
            self._frames.send_close(code)
            self._write()
        self._last_words()

    def abort(self) -> None:
        """Ends it at once."""
        if not self.over:
            self._transport.abort()

    async def room(self) -> None:
        """Waits until little of what was sent is left, if it is much."""
        if self._room is not None:
            await asyncio.wait([self._room])

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._roomy()

    def _roomy(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    async def finished(self) -> None:
        """Waits until it is over."""
        if not self.over:
            self._end = self._end or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._end])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        WebSocket.count += 1
        self._transport = transport  # type: ignore[assignment]  # of a TCP connection it is this kind

    def data_received(self, data: bytes) -> None:
        self._frames.receive_data(data)
        self._take(self._frames.events_received())
        self._write()

    def eof_received(self) -> bool:
        self._frames.receive_eof()
        self._write()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        WebSocket.count -= 1
        self.over = True
        if self._frames.state is not State.CLOSED:
            self._frames.receive_eof()
        self._roomy()
        if self._end is not None:
            self._end.set_result(None)
        ended, self.arrived, self.ended = self.ended, _nothing, _nothing
        ended()

    def _take(self, frames: Iterable[object]) -> None:
        """Joins the frames of a message; those that control the connection have been dealt with."""
        for frame in frames:
            if not isinstance(frame, Frame) or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            self._joined.append(frame)
            if frame.fin:
                joined, self._joined = self._joined, []
                self._keep(joined[0].opcode is Opcode.TEXT, b"".join(bytes(part.data) for part in joined))

    def _keep(self, text: bool, data: bytes) -> None:
        try:
            message = data.decode() if text else data
        except UnicodeDecodeError:
            self.close(1007)
            return
        self._messages.append(message)
        if len(self._messages) == MOST_WAITING:
            self._transport.pause_reading()
        self.arrived()

    def _write(self) -> None:
        """Writes what the frames say, replies to pings and closes among it. An empty part asks to end our side.

        The other side is left open: to close it with something unread would take from the client what we said last.
        """
        for data in self._frames.data_to_send():
            if data:
                self._transport.write(data)
            elif not self._transport.is_closing():
                self._transport.write_eof()
        if not self.open:
            self._last_words()

    def _last_words(self) -> None:
        if self._patience is None and not self.over:
            self._patience = asyncio.get_running_loop().call_later(FAREWELL, self._transport.abort)


class SocketOutlet:
    """The outlet of a stream over a WebSocket."""

    measured = True

    def __init__(self, socket: WebSocket, code: int) -> None:
        self.gone: Callable[[], None] = _nothing
        self._socket = socket
        self._code = code
        self._closed = False
        socket.ended = self.lost

    def send(self, data: bytes) -> None:
        self._socket.send(data)

    def pending(self) -> int:
        """What the kernel has not taken."""
        return self._socket.pending()

    def close(self) -> None:
        self._closed = True
        self._socket.close(self._code)

    async def flushed(self) -> None:
        await self._socket.finished()

    def abort(self) -> None:
        self._closed = True
        self._socket.abort()

    def lost(self) -> None:
        """The other end has gone."""
        if not self._closed:
            self._closed = True
            self.gone()


def _nothing() -> None:
    """What is called when nobody wants to be told."""
