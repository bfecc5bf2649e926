"""WebSockets on connections of the embedded server, which it gives up: handshakes, frames, bounds, and ends."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ramet.errors import Problem
from ramet.interfaces.transport import upgrade, websocket
from ramet.interfaces.transport.outlet import SwitchResponse
from ramet.interfaces.transport.request import Request, Response
from ramet.interfaces.transport.rsgi import serve_rsgi
from ramet.interfaces.transport.sockets import Sockets
from ramet.interfaces.transport.upgrade import accept, is_handshake
from ramet.interfaces.transport.websocket import MOST_WAITING, SocketOutlet, WebSocket
from tests.unit.interfaces.transport.conftest import DEADLINE, Connection, Served

LONGEST = 100_000
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "connection": "keep-alive, Upgrade",
    "upgrade": "WebSocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": KEY,
}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Echo:
    """Says again what it hears, unless it is told to be `deaf`. `open` are its WebSockets, `lost` those never begun."""

    def __init__(self) -> None:
        self.open: list[WebSocket] = []
        self.lost = 0
        self.deaf = False

    async def __call__(self, scope: Any, protocol: Any) -> None:
        await serve_rsgi(self._answer, scope, protocol)

    async def _answer(self, request: Request) -> Response:
        if not is_handshake(request.header):
            return Response(200, [], b"no handshake")
        headers = accept(request.header)
        connection = request.take()
        if connection is None:
            raise Problem("bad_request", "no connection")
        return SwitchResponse(101, headers, connection=connection, longest=LONGEST, begin=self._begin)

    def _begin(self, found: WebSocket | None) -> None:
        if found is None:
            self.lost += 1
            return
        self.open.append(found)
        found.arrived = lambda: self._say(found)
        if found.waiting:
            found.arrived()

    def _say(self, found: WebSocket) -> None:
        while not self.deaf and (message := found.next()) is not None:
            text = isinstance(message, str)
            found.send(message.encode() if isinstance(message, str) else message, text=text)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def served(echo: Echo, serve: Callable[..., Served]) -> AsyncIterator[Served]:
    before = WebSocket.count
    yield serve(echo)
    for one in echo.open:
        one.abort()
        await one.finished()
    assert WebSocket.count == before


def handshake(**changes: str) -> bytes:
    lines = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"GET /live HTTP/1.1\r\nHost: a\r\n{text}\r\n".encode()


def frame(kind: int, data: bytes, *, fin: bool = True, mask: bytes = b"\1\2\3\4") -> bytes:
    """As a client writes it."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + struct.pack(">H", size) if size < 65_536 else b"\xff" + struct.pack(">Q", size)
    return bytes([fin << 7 | kind]) + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


async def opened(served: Served, first: bytes = b"") -> Connection:
    connection = await served.connect()
    connection.send(handshake())
    head = await connection.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    connection.send(first)
    return connection


async def heard(connection: Connection) -> tuple[int, bytes]:
    """The next frame: its kind and its content."""
    async with asyncio.timeout(DEADLINE):
        kind, size = await connection.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", await connection.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await connection.reader.readexactly(8))
        assert kind & 0xF0 == 0x80, "whole frames, without extensions"
        return kind & 0x0F, await connection.reader.readexactly(size)


async def test_text_and_bytes_of_any_size_come_whole(served: Served) -> None:
    connection = await opened(served)
    for size in (0, 1, 125, 126, 65_535, 65_536, LONGEST):
        connection.send(frame(TEXT, b"x" * size) + frame(BINARY, b"\0" * size))
        assert await heard(connection) == (TEXT, b"x" * size)
        assert await heard(connection) == (BINARY, b"\0" * size)


async def test_fragments_are_one_message_and_pings_between_them_are_answered(served: Served) -> None:
    connection = await opened(served)
    smile = "☺".encode()
    for part in (frame(TEXT, smile[:1], fin=False), frame(PING, b"p"), frame(0, smile[1:2], fin=False)):
        for byte in part:
            connection.send(bytes([byte]))
    assert await heard(connection) == (PONG, b"p")
    connection.send(frame(0, smile[2:]))
    assert await heard(connection) == (TEXT, smile)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (frame(TEXT, b"x" * (LONGEST + 1)), 1009),
        (frame(TEXT, b"x" * LONGEST, fin=False) + frame(0, b"x"), 1009),
        (frame(TEXT, b"\xff"), 1007),
        (frame(3, b""), 1002),
        (frame(0, b"nothing to go on with"), 1002),
        (bytes([0x81, 0x01]) + b"x", 1002),  # not masked
        (bytes([0xC1, 0x80]) + b"mask", 1002),  # compressed
        (frame(PING, b"x" * 126), 1002),
    ],
    ids=["long", "long-in-parts", "no-text", "unknown", "no-beginning", "unmasked", "compressed", "long-ping"],
)
async def test_what_breaks_the_protocol_ends_the_connection_with_its_code(
    served: Served, wrong: bytes, code: int
) -> None:
    connection = await opened(served, wrong)
    kind, data = await heard(connection)
    assert (kind, int.from_bytes(data[:2], "big")) == (CLOSE, code)
    connection.send(frame(CLOSE, struct.pack(">H", code)))
    assert await connection.rest() == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (handshake(upgrade="h2c"), 200),
        (handshake(upgrade=""), 200),
        (handshake(connection="keep-alive"), 400),
        (handshake(sec_websocket_key="c2hvcnQ="), 400),
        (handshake(sec_websocket_key="?"), 400),
        (handshake(sec_websocket_key=""), 400),
        (handshake(sec_websocket_version="8"), 400),
        (handshake(content_length="1"), 400),
        (handshake(transfer_encoding="chunked"), 400),
    ],
)
async def test_a_bad_handshake_is_refused_with_a_status(
    served: Served, echo: Echo, request_: bytes, status: int
) -> None:
    connection = await served.connect()
    connection.send(request_)
    head = await connection.until(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"sec-websocket-version: 13" in head) == (b"version: 8" in request_)
    assert echo.open == []


async def test_http_1_0_stays_what_it_is(served: Served, echo: Echo) -> None:
    connection = await served.connect()
    connection.send(handshake().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (await connection.until(b"\r\n\r\n")).startswith(b"HTTP/1.0 400 ")
    assert echo.open == []


async def test_hundreds_at_once_lose_nothing_they_say_at_once(served: Served, echo: Echo) -> None:
    """Each speaks as soon as it has the answer, while the server may still have the connection."""
    before = len(os.listdir("/proc/self/fd"))

    async def one(number: int) -> None:
        said = f"I am {number}".encode()
        connection = await opened(served, frame(TEXT, said) + frame(BINARY, said))
        assert await heard(connection) == (TEXT, said)
        assert await heard(connection) == (BINARY, said)

    for start in range(0, 400, 100):
        await asyncio.gather(*(one(start + number) for number in range(100)))
    assert WebSocket.count == len(echo.open) == 400
    # One descriptor for each on either side: the server has closed its own.
    assert len(os.listdir("/proc/self/fd")) - before <= 2 * 400 + 8
    assert (await served.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).endswith(b"no handshake")


async def test_a_close_is_answered_and_told(served: Served, echo: Echo) -> None:
    connection = await opened(served, frame(CLOSE, struct.pack(">H", 4001) + b"why"))
    assert await heard(connection) == (CLOSE, struct.pack(">H", 4001) + b"why")
    assert await connection.rest() == b""
    (one,) = echo.open
    await one.finished()
    assert (one.over, one.open, one.code) == (True, False, 4001)
    one.send(b"too late")
    one.close(1001)
    one.abort()
    assert await one.receive() is None


async def test_who_vanishes_is_gone_once(served: Served, echo: Echo) -> None:
    connection = await opened(served, frame(TEXT, b"a"))
    await heard(connection)
    (one,) = echo.open
    told: list[str] = []
    outlet = SocketOutlet(one, 1001)
    outlet.gone = lambda: told.append("gone")
    connection.writer.transport.abort()
    await one.finished()
    assert (told, one.code, one.pending()) == (["gone"], 1006, 0)
    outlet.close()
    await outlet.flushed()
    assert told == ["gone"]


async def test_our_close_comes_after_what_was_sent_and_waits_for_the_answer(served: Served, echo: Echo) -> None:
    connection = await opened(served, frame(TEXT, b"a"))
    await heard(connection)
    outlet = SocketOutlet(echo.open[0], 1001)
    outlet.gone = lambda: pytest.fail("we ended it ourselves")
    outlet.send(b"last words")
    outlet.close()
    outlet.send(b"and more")
    assert await heard(connection) == (TEXT, b"last words")
    assert await heard(connection) == (CLOSE, struct.pack(">H", 1001))
    connection.send(frame(CLOSE, struct.pack(">H", 1001)))
    assert await connection.rest() == b""
    await outlet.flushed()


async def test_who_does_not_answer_a_close_is_cut_off(
    served: Served, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "FAREWELL", 0.01)
    connection = await opened(served, frame(TEXT, b"a"))
    await heard(connection)
    echo.open[0].close(1001)
    async with asyncio.timeout(DEADLINE):
        await echo.open[0].finished()


async def test_who_talks_without_end_is_not_read_until_it_is_heard(served: Served, echo: Echo) -> None:
    echo.deaf = True
    connection = await opened(served)
    while not echo.open:  # noqa: ASYNC110 - the server does not tell
        await asyncio.sleep(0)
    (one,) = echo.open
    part = frame(BINARY, b"x" * 50_000)
    sent = 0
    while one.waiting < MOST_WAITING:
        connection.send(part)
        sent += 1
        await connection.writer.drain()
        await asyncio.sleep(0)
    held = one.waiting
    assert held < 2 * MOST_WAITING
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert one.waiting == held, "nothing more is read"
    echo.deaf = False
    one.arrived()
    for _ in range(sent):
        assert await heard(connection) == (BINARY, b"x" * 50_000)


async def test_a_process_takes_no_more_than_half_of_its_descriptors(
    served: Served, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = WebSocket.count + 1
    monkeypatch.setattr(upgrade, "most", lambda: most)
    await heard(await opened(served, frame(TEXT, b"the last place")))
    connection = await served.connect()
    connection.send(handshake())
    assert (await connection.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")


async def test_a_connection_of_ours_to_the_same_other_end_is_not_taken() -> None:
    """The other end of a connection that we made may be an address that comes to us as a client, too."""
    sockets = Sockets()
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with socket.create_connection((host, port)) as client:
            other, near = f"{host}:{port}", client.getsockname()
            assert sockets.take(other, f"{host}:{port + 1}") is None
            taken = sockets.take(other, f"{near[0]}:{near[1]}")
            assert taken is not None
            with taken.socket:
                assert taken.descriptor == client.fileno()
                assert taken.shared()
                client.close()
                assert not taken.shared()
    assert sockets.take("", "") is None
