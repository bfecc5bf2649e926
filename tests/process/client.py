"""HTTP/1.1 over kept connections, as cheap as a client in Python can be: it must not be what limits the server."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

DEADLINE = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)  # nginx writes it as it likes
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Answer(NamedTuple):
    """A whole answer; `head` is everything before its body."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        return _decode(self.body)

    def header(self, name: str) -> str:
        """The value of a header, in whatever case; empty when there is none."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b": ")
            if key.lower() == name.encode():
                return value.decode()
        return ""


class Cut(Exception):
    """The connection ended before the answer was whole; `received` is what came of it."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"the connection ended after {received[:200]!r}")
        self.received = received


class Client(asyncio.Protocol):
    """One connection. Requests may be sent before earlier ones are answered; answers come in order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._received = bytearray()
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body = bytes(self._received[end + 4 : whole])
            del self._received[:whole]
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(Answer(int(head[9:12]), head, body))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(Cut(bytes(self._received)))
        self._waiting.clear()

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> asyncio.Future[Answer]:
        """Send a request, `body` as JSON; its answer comes later. Raises Cut on a connection that has ended."""
        lines = [f"{method} {path} HTTP/1.1\r\nhost: a\r\n"]
        for name, value in (headers or {}).items():
            lines.append(f"{name}: {value}\r\n")
        content = b"" if body is None else _encode(body)
        if body is not None:
            lines.append(f"content-type: application/json\r\ncontent-length: {len(content)}\r\n")
        lines.append("\r\n")
        future = self.expect()
        self.write("".join(lines), content)
        return future

    def expect(self) -> asyncio.Future[Answer]:
        """The answer that comes after those expected so far, to what `write` sends."""
        if self.closed or self._transport is None or self._transport.is_closing():
            raise Cut(b"")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def write(self, text: str, content: bytes = b"") -> None:
        """Send anything, such as a part of a request."""
        assert self._transport is not None
        self._transport.write(text.encode() + content)

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a request. Raises Cut when there is none, TimeoutError when it takes longer than DEADLINE."""
        return await asyncio.wait_for(self.send(method, path, body, headers), DEADLINE)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@asynccontextmanager
async def connected(port: int, count: int = 1, host: str = "127.0.0.1") -> AsyncIterator[list[Client]]:
    """So many connections."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    try:
        while len(clients) < count:
            clients.append((await loop.create_connection(Client, host, port))[1])
        yield clients
    finally:
        for client in clients:
            client.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def spread(port: int, each: int = 1, workers: int = 2) -> AsyncIterator[dict[int, list[Client]]]:
    """Connections by the process that answers on them, `each` to every one; for the application `ledger`."""
    loop = asyncio.get_running_loop()
    found: dict[int, list[Client]] = {}
    clients: list[Client] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while len(found) < workers or min(map(len, found.values())) < each:
                client = (await loop.create_connection(Client, "127.0.0.1", port))[1]
                clients.append(client)
                pid = (await client.ask("GET", "/api/v1/entries/worker")).json()
                if len(mine := found.setdefault(pid, [])) < each:
                    mine.append(client)
                else:
                    client.close()
                    await asyncio.sleep(0.002)  # waits: for a worker that is still starting
        yield found
    finally:
        for client in clients:
            client.close()
        await asyncio.sleep(0)


async def well(clients: Iterable[Client]) -> bool:
    """Whether who answers on each has all it works with, also what it can do without."""
    answers = [(await client.ask("GET", "/health/ready")).json() for client in clients]
    return all(part["ok"] for answer in answers for part in answer["parts"])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Returns when it holds, at most DEADLINE later."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 - what changes is in another process
            await asyncio.sleep(0.02)  # waits: for another process, between two looks at it
