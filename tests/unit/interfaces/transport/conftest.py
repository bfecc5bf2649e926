"""The embedded server on a free port, in the test's own event loop, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ramet.interfaces.transport.mount import Mount
from ramet.settings import Settings
from ramet.topology.single.listener import listen, open_up
from ramet.topology.single.server import EmbeddedServer
from tests.unit.interfaces.transport.site import DEADLINE, Site

RsgiCallable = Callable[[Any, Any], Awaitable[None]]


class Connection:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def end(self) -> None:
        """Send nothing more, but go on reading."""
        self.writer.write_eof()

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        await asyncio.wait({asyncio.ensure_future(self.writer.wait_closed())})


class Served:
    """Where the server is."""

    def __init__(self, server: EmbeddedServer, port: int) -> None:
        self._server = server
        self._serving = asyncio.create_task(server.serve())
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._open: list[Connection] = []

    async def stop(self) -> None:
        """Stop, and wait until every connection has ended."""
        self._server.stop()
        async with asyncio.timeout(DEADLINE):
            await asyncio.shield(self._serving)

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self._open.append(connection)
        return connection

    async def ask(self, request: bytes, *, end: bool = False) -> bytes:
        """Send all of `request` and give all that comes back until the server closes."""
        connection = await self.connect()
        connection.send(request)
        if end:
            connection.end()
        try:
            return await connection.rest()
        finally:
            await connection.close()

    async def close(self) -> None:
        for connection in self._open:
            await connection.close()


class _App:
    draining = False

    def __init__(self, answer: RsgiCallable) -> None:
        self.__rsgi__ = answer


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Served]]:
    """Start servers: `serve(rsgi_callable, **settings)`."""
    running: list[Served] = []

    def start(answer: RsgiCallable, **settings: Any) -> Served:
        listener = listen("127.0.0.1", 0)
        open_up(listener)
        port = listener.getsockname()[1]
        app: Any = _App(answer)
        running.append(Served(EmbeddedServer(app, listener, Settings(**settings)), port))
        return running[-1]

    yield start
    for served in running:
        await served.close()
        await served.stop()


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
async def mount(site: Site) -> AsyncIterator[Mount]:
    mount = Mount("/site", site.app)
    await mount.startup()
    assert await site.next() == "start"
    yield mount
    await mount.shutdown()
    while await site.next() != "stop":
        pass


@pytest.fixture
async def served(mount: Mount, serve: Callable[..., Served]) -> Served:
    return serve(mount.rsgi)
