"""Subscribers of a server under test: event streams over plain sockets, with a deadline on every wait."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.process.client import DEADLINE

EVENTS = "/api/v1/events"


class Event(NamedTuple):
    """One event as it was written."""

    kind: str
    id: str
    data: Any


class EventSource:
    """One event stream. `head` is what the server answered; `last` the id to come back with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._text = b""
        self.head = b""
        self.last = ""

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    async def begin(self) -> None:
        async with asyncio.timeout(DEADLINE):
            self.head = await self._reader.readuntil(b"\r\n\r\n")

    async def next(self) -> Event:
        """The next event, whatever signs of life come before it."""
        async with asyncio.timeout(DEADLINE):
            while True:
                while b"\n\n" in self._text:
                    frame, self._text = self._text.split(b"\n\n", 1)
                    fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if ": " in line)
                    if "data" in fields:
                        self.last = fields.get("id", self.last)
                        return Event(fields["event"], fields.get("id", ""), msgspec.json.decode(fields["data"]))
                self._text += await self._chunk()

    async def until(self, kind: str) -> Event:
        """The next event of a kind; what comes before it is passed over."""
        while (event := await self.next()).kind != kind:
            continue
        return event

    async def ended(self) -> bool:
        """Waits for what comes next: whether that is the proper end of the answer."""
        async with asyncio.timeout(DEADLINE):
            return await self._chunk() == b""

    def close(self) -> None:
        self._writer.transport.abort()

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        data = await self._reader.readexactly(size + 2)
        return data[:-2]


@asynccontextmanager
async def watching(
    port: int, query: str, headers: Mapping[str, str] | None = None, buffer: int = 0
) -> AsyncIterator[EventSource]:
    """An event stream whose head has been read. With a `buffer` nothing else is read before it is asked for."""
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=buffer or 2**20)
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    writer.write(f"GET {EVENTS}?{query} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
    source = EventSource(reader, writer)
    try:
        await source.begin()
        yield source
    finally:
        source.close()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} does not say how much memory it has")
