"""The same over ASGI 3, so that a Ramet application can be mounted in another, and run by any ASGI server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ramet.errors import Problem
from ramet.interfaces.http.problems import render
from ramet.interfaces.transport.outlet import QueuedOutlet, StreamResponse
from ramet.interfaces.transport.request import (
    BODY_TIMEOUT,
    DISCARD_LIMIT,
    UNREADABLE,
    Disconnected,
    Handler,
    Response,
    inspect,
    merge,
    plain_address,
    too_large,
)

AsgiScope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("ramet.transport")


class AsgiRequest:
    """A `Request` over ASGI."""

    __slots__ = ("_fields", "_receive", "_scope", "flaw", "header", "method", "path", "query")

    flaw: Problem | None
    header: Callable[[str], str | None]

    def __init__(self, scope: AsgiScope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path = relative_path(scope)
        self.query: str = scope["query_string"].decode("utf-8", "replace")
        items = [(name.decode("latin-1").lower(), _text(value)) for name, value in scope["headers"]]
        self._fields: dict[str, str] = {}
        self.header = self._fields.get
        self.flaw = inspect(self.path, self.query, items, merge(items, self._fields))

    @property
    def peer(self) -> str:
        client = self._scope.get("client")
        return plain_address(client[0]) if client else ""

    @property
    def scheme(self) -> str:
        scheme: str = self._scope.get("scheme", "http")
        return scheme

    def take(self) -> None:
        """WebSockets come another way."""

    async def body(self, limit: int) -> bytes:
        declared = self._fields.get("content-length")
        if declared is not None and not (declared.isascii() and declared.isdigit()):
            raise Problem("invalid_header", "`content-length` must be a whole number.")
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                if declared is None or int(declared) <= limit:
                    return await self._collect(limit)
                if "expect" not in self._fields and int(declared) <= DISCARD_LIMIT:
                    await self._collect(DISCARD_LIMIT)
        except TimeoutError:
            raise Problem("request_timeout", f"The body did not arrive within {BODY_TIMEOUT:g} seconds.") from None
        raise too_large(limit)

    async def _collect(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            parts.append(chunk)
        return b"".join(parts)


def relative_path(scope: AsgiScope) -> str:
    """The path below where the application is mounted. Servers and frameworks differ in whether it is cut off."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path


def _text(value: bytes) -> str:
    return value.decode("ascii") if value.isascii() else UNREADABLE


async def serve_asgi(handler: Handler, scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Answer one request of type "http" with what `handler` gives; refusals and errors as in `serve_rsgi`."""
    try:
        response = await handler(AsgiRequest(scope, receive))
    except Problem as problem:
        response = render(problem)
    except Disconnected:
        response = render(Problem("bad_request", "The body broke off."))
    except Exception:
        _log.exception("unhandled error in %s %s", scope["method"], scope["path"])
        response = render(Problem("internal"))
    if isinstance(response, StreamResponse):
        await send_stream(response, receive, send)
    else:
        await send_response(response, send, head=scope["method"] == "HEAD")


async def send_response(response: Response, send: Send, *, head: bool = False) -> None:
    """Send a whole answer. For HEAD the length stands in the headers and the body stays away."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if response.status >= 200 and response.status not in {204, 304}:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


async def send_stream(response: StreamResponse, receive: Receive, send: Send) -> None:
    """Send an answer without end, until it ends or the client leaves."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
    except BaseException:
        response.leave()
        raise

    async def write(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    outlet = QueuedOutlet(write, lambda: None)
    leaving = asyncio.ensure_future(left(receive))
    try:
        await response.begin(outlet)
        await asyncio.wait({leaving, outlet.done}, return_when=asyncio.FIRST_COMPLETED)
        if outlet.done.done() and not leaving.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        leaving.cancel()
        outlet.lost()


async def left(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue


class AsgiApp:
    """An ASGI application of a handler, with its start and stop.

    A framework that mounts an application does not pass its lifespan on, so without one the first request starts the
    application; those that come meanwhile wait for it. Nothing then stops it but the end of the process.
    """

    def __init__(
        self,
        handler: Handler,
        startup: Callable[[], Awaitable[None]],
        shutdown: Callable[[], Awaitable[None]],
        sockets: Callable[[], AsgiApplication] | None = None,
    ) -> None:
        self._sockets = sockets
        self._handler = handler
        self._startup = startup
        self._shutdown = shutdown
        self._started = False
        self._starting = asyncio.Lock()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if not self._started:
                await self._start()
            await serve_asgi(self._handler, scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        elif self._sockets is not None:
            if not self._started:
                await self._start()
            await self._sockets()(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _start(self) -> None:
        async with self._starting:
            if not self._started:
                await self._startup()
                self._started = True

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            _log.exception("the application could not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._started = False
        try:
            await self._shutdown()
        except Exception as error:
            _log.exception("the application could not stop cleanly")
            await send({"type": "lifespan.shutdown.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})
