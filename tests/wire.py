"""What a test asks of an application over ASGI, sent to a balancer over sockets, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import h11
import websockets
from websockets.asyncio.client import ClientConnection, connect

from ramet.changes.change import parse_position
from tests.postgres import LOOPBACK

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
HOP = frozenset({b"connection", b"transfer-encoding", b"server", b"date", b"keep-alive"})
"""Headers of a connection, and of nginx itself."""
HANDSHAKE = frozenset({b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"})
CHUNK = 65_536


class Stream:
    """An event stream that is open; `mark` is the newest comment of ours that has come."""

    def __init__(self) -> None:
        self.mark = 0
        self._tail = b""

    def take(self, data: bytes) -> None:
        *lines, self._tail = (self._tail + data).split(b"\n")
        self.mark = max([self.mark, *(int(line[1:]) for line in lines if line.startswith(b":") and line != b":")])


class Wire:
    """The way to a balancer at a port; as client libraries do, it shows the newest position it was told.

    `left` is awaited when a stream or WebSocket has been closed. With `echoes` off the test shows positions itself.
    """

    def __init__(self, port: int, left: Callable[[], Awaitable[None]]) -> None:
        self.echoes = True
        self.streams: list[Stream] = []
        self.sockets = 0
        self._port = port
        self._left = left
        self._newest = ""
        self._mark = 0
        self._changed = asyncio.Condition()

    def note(self, position: str) -> None:
        """Remembers a position if it is newer."""
        found, known = parse_position(position), parse_position(self._newest)
        if found is not None and (known is None or known.incarnation != found.incarnation or known.seq < found.seq):
            self._newest = position

    async def arrived(self, tell: Callable[[bytes], None]) -> None:
        """Returns once all that open streams were sent has come; `tell` sends them a comment, which comes after it."""
        self._mark += 1
        mark, streams = self._mark, list(self.streams)
        tell(b":%d\n\n" % mark)
        async with self._changed:
            await self._changed.wait_for(lambda: all(one.mark >= mark for one in streams if one in self.streams))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._live(scope, receive, send)
        else:
            await self._ask(scope, receive, send)

    async def _ask(self, scope: Any, receive: Receive, send: Send) -> None:
        method = scope["method"]
        headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
        names = {name for name, _ in headers}
        body = b""
        if method not in WITHOUT_BODY or names & {b"content-length", b"transfer-encoding"}:
            body = await _body(receive)
        headers = [(name, value) for name, value in headers if name not in {b"connection", b"transfer-encoding"}]
        if b"content-length" not in names and (body or method not in WITHOUT_BODY):
            headers.append((b"content-length", str(len(body)).encode()))
        if self.echoes and self._newest and b"ramet-position" not in names:
            headers.append((b"ramet-position", self._newest.encode()))
        lines = [method.encode() + b" " + _target(scope) + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in (*headers, (b"connection", b"close"))]
        reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
        try:
            with suppress(ConnectionError):  # an answer may have come before all was read
                writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
                await writer.drain()
            await self._answer(_Reading(method, reader), receive, send)
        finally:
            writer.transport.abort()
            await self._left()

    async def _answer(self, reading: _Reading, receive: Receive, send: Send) -> None:
        head = await reading.event()
        while isinstance(head, h11.InformationalResponse):
            head = await reading.event()
        assert isinstance(head, h11.Response), head
        headers = [(name, value) for name, value in head.headers if name not in HOP]
        found = dict(headers)
        self.note(found.get(b"ramet-position", b"").decode())
        await send({"type": "http.response.start", "status": head.status_code, "headers": headers})
        if found.get(b"content-type", b"").startswith(b"text/event-stream"):
            await self._follow(reading, receive, send)
            return
        while isinstance(event := await reading.event(), h11.Data):
            await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, reading: _Reading, receive: Receive, send: Send) -> None:
        stream = Stream()
        self.streams.append(stream)
        gone = asyncio.ensure_future(_gone(receive))
        try:
            while True:
                part = asyncio.ensure_future(reading.event())
                await asyncio.wait({part, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not part.done():
                    part.cancel()
                    await asyncio.wait({part})
                    return
                event = part.result()
                if not isinstance(event, h11.Data):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
                await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
                async with self._changed:
                    stream.take(bytes(event.data))
                    self._changed.notify_all()
        finally:
            gone.cancel()
            async with self._changed:
                self.streams.remove(stream)
                self._changed.notify_all()

    async def _live(self, scope: Any, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        given = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
        host = dict(given).get(b"host", b"test").decode()
        query = scope.get("query_string", b"").decode()
        try:
            socket = await connect(
                f"ws://{host}{scope['path']}{'?' + query if query else ''}",
                host=LOOPBACK,
                port=self._port,
                additional_headers=[(n.decode(), v.decode()) for n, v in given if n not in HANDSHAKE],
                user_agent_header=None,
                compression=None,
                ping_interval=None,
                proxy=None,
            )
        except websockets.InvalidStatus:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        self.sockets += 1
        saying = asyncio.ensure_future(_say(socket, receive))
        try:
            with suppress(websockets.ConnectionClosed):
                while True:
                    await send({"type": "websocket.send", "text": await socket.recv(decode=True)})
            if not saying.done():
                await send({"type": "websocket.close", "code": socket.close_code})
        finally:
            saying.cancel()
            await asyncio.wait({saying})
            await socket.close()
            self.sockets -= 1
            await self._left()


class _Reading:
    """Reads one answer."""

    def __init__(self, method: str, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
        self._state.send(h11.Request(method=method, target="/", headers=[("host", "any")]))
        self._state.send(h11.EndOfMessage())

    async def event(self) -> Any:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            self._state.receive_data(await self._reader.read(CHUNK))
        return event


async def _gone(receive: Receive) -> None:
    """Returns when the client has left; what it has sent is not that."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _say(socket: ClientConnection, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await socket.send(message["bytes"] if text is None else text)
    await socket.close()


async def _body(receive: Receive) -> bytes:
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _target(scope: Any) -> bytes:
    path = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=-._~").encode()
    query = scope["query_string"]
    return path + b"?" + query if query else path
