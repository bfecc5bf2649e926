"""Any ASGI application (FastAPI, Starlette, Django) under a path of ours, whether we run over RSGI or over ASGI.

Over RSGI it is given the ASGI 3 interface, built on what granian offers. Granian's limits are the mounted
application's: streamed answers queue without bound when the client reads slowly (files do not, see `pathsend`), and a
stream that fails midway ends as if it were complete unless its length was announced. WebSockets are our own, see
`upgrade`. At a stop, what handles a WebSocket is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # public, but not marked as re-exported

from ramet.errors import Problem
from ramet.interfaces.transport.asgi import AsgiApplication, AsgiScope, Message, Receive, Send
from ramet.interfaces.transport.lifespan import Lifespan
from ramet.interfaces.transport.rsgi import RsgiProtocol, RsgiScope
from ramet.interfaces.transport.rsgi_outlet import RsgiStream
from ramet.interfaces.transport.upgrade import accept, is_handshake, switch, take
from ramet.interfaces.transport.websocket import GOING_AWAY, GONE, WebSocket

LONGEST = 1_048_576
"""Bytes of one WebSocket message of a client."""
_log = logging.getLogger("ramet.transport")

_OF_THE_OUTER = frozenset({"app", "app_root_path", "endpoint", "path_params", "route", "router"})


class Mount:
    """An ASGI application under `prefix`, such as "/admin". Raises ValueError for a prefix that is no path."""

    def __init__(self, prefix: str, app: AsgiApplication) -> None:
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise ValueError(f"A mount's prefix starts with `/` and does not end with it: {prefix!r}.")
        self.prefix = prefix
        self._app = app
        self._lifespan = Lifespan(app)

    def matches(self, path: str) -> bool:
        """Whether an address below the prefix, or the prefix itself."""
        return path.startswith(self.prefix) and path[len(self.prefix) : len(self.prefix) + 1] in {"", "/"}

    async def startup(self) -> None:
        """Start the application, if it takes part in that. Raises RuntimeError when it says that it failed."""
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        await self._lifespan.shutdown()

    async def asgi(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass on a request or a WebSocket that came over ASGI."""
        inner = {key: value for key, value in scope.items() if key not in _OF_THE_OUTER}
        inner["root_path"] = scope.get("root_path", "").rstrip("/") + self.prefix
        inner["state"] = dict(self._lifespan.state)
        await self._app(inner, receive, send)

    async def rsgi(self, scope: RsgiScope, protocol: Any) -> None:
        """Pass on a request or a WebSocket that came over RSGI."""
        header = dict(scope.headers.items()).get
        inner = self._scope(scope, http=not is_handshake(header))
        if inner["type"] == "http":
            exchange = _Exchange(scope, protocol)
            try:
                await self._app(inner, exchange.receive, exchange.send)
            except asyncio.CancelledError:
                _log.debug("%s %s was cut off", scope.method, scope.path)  # only a stop cancels requests
            except Exception:
                if not exchange.abandoned:
                    _log.exception("unhandled error in %s %s", scope.method, scope.path)
            exchange.finish()
            return
        socket = _Socket(scope, protocol, header)
        try:
            await self._app(inner, socket.receive, socket.send)
        except asyncio.CancelledError:
            _log.debug("the WebSocket %s was cut off", scope.path)
            socket.finish(GOING_AWAY)
        except Problem as problem:
            _log.debug("the handshake of %s was refused: %s", scope.path, problem.detail)
            protocol.response_empty(problem.status, [])
            return
        except Exception:
            if not socket.abandoned:
                _log.exception("unhandled error in the WebSocket %s", scope.path)
        socket.finish()

    def _scope(self, scope: RsgiScope, *, http: bool) -> AsgiScope:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()]
        inner: AsgiScope = {
            "type": "http" if http else "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.0" if scope.http_version == "1" else scope.http_version,
            "scheme": scope.scheme if http else scope.scheme.replace("http", "ws"),
            "path": scope.path,
            "raw_path": quote(scope.path, safe="/:@!$&'()*+,;=~").encode(),
            "query_string": scope.query_string.encode(),
            "root_path": self.prefix,
            "headers": headers,
            "client": _address(scope.client),
            "server": _address(scope.server),
            "state": dict(self._lifespan.state),
            "extensions": {"http.response.pathsend": {}} if http else {},
        }
        if http:
            inner["method"] = scope.method
        else:
            offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
            inner["subprotocols"] = [part.strip() for part in offered.decode().split(",") if part.strip()]
        return inner


class _Exchange:
    """`receive` and `send` of one HTTP request over RSGI."""

    def __init__(self, scope: RsgiScope, protocol: RsgiProtocol) -> None:
        headers = dict(scope.headers.items())
        self._protocol = protocol
        self._body: AsyncIterator[bytes] | None = None
        if "content-length" in headers or "transfer-encoding" in headers:
            self._body = protocol.__aiter__()
        self._trailers = "trailer" in headers
        self._received = False
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._stream: RsgiStream | None = None
        self._answered = asyncio.Event()
        self.abandoned = False
        """Whether sending has failed because the client left: what an application raises then is no error."""

    async def receive(self) -> Message:
        if not self._received:
            return await self._receive_body()
        if not self._answered.is_set():
            await self._wait_for_the_end()
        return {"type": "http.disconnect"}

    async def _receive_body(self) -> Message:
        if self._body is None:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        chunk = await _next(self._body)
        if chunk:
            return {"type": "http.request", "body": chunk, "more_body": True}
        self._received = True
        if not self._trailers and await _next(self._body) is not None:  # a second empty part: see rsgi.py
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _wait_for_the_end(self) -> None:
        answered = asyncio.ensure_future(self._answered.wait())
        left = asyncio.ensure_future(_await(self._protocol.client_disconnect()))
        try:
            await asyncio.wait({answered, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            left.cancel()

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            self._headers = [(_text(name), _text(value)) for name, value in message.get("headers", ())]
        elif kind == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.pathsend":
            self._protocol.response_file(self._status, self._headers, str(message["path"]))
            self._answered.set()

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._answered.is_set():
            return
        if self._stream is None and not more:
            self._protocol.response_bytes(self._status, self._headers, bytes(body))
            self._answered.set()
            return
        if self._stream is None:
            self._stream = self._protocol.response_stream(self._status, self._headers)
        if body:
            try:
                await self._stream.send_bytes(bytes(body))
            except ProtocolClosed as closed:
                self.abandoned = True
                raise OSError("the client has disconnected") from closed
            await asyncio.sleep(0)  # sending never waits, and others must have their turn
        if not more:
            self.finish()

    def finish(self) -> None:
        """End the answer; when there was none, granian gives 500 in its place."""
        self._stream = None
        self._answered.set()


class _Socket:
    """`receive` and `send` of one WebSocket that came as a request over RSGI."""

    def __init__(self, scope: RsgiScope, protocol: RsgiProtocol, header: Callable[[str], str | None]) -> None:
        self._scope = scope
        self._protocol = protocol
        self._header = header
        self._socket: WebSocket | None = None
        self._connecting = True
        self._answered = False
        self.abandoned = False

    async def receive(self) -> Message:
        if self._connecting:
            self._connecting = False
            return {"type": "websocket.connect"}
        message = None if self._socket is None else await self._socket.receive()
        if message is None:
            return {"type": "websocket.disconnect", "code": GONE if self._socket is None else self._socket.code}
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            self._close(403, message.get("code", 1000))
        elif kind == "websocket.send" and self._socket is not None:
            text, data = message.get("text"), message.get("bytes")
            if not self._socket.open:
                self.abandoned = True
                raise OSError("the client has disconnected")
            self._socket.send((data or b"") if text is None else text.encode(), text=text is not None)
            await self._socket.room()

    async def _accept(self, message: Message) -> None:
        headers = accept(self._header)
        if message.get("subprotocol"):
            headers.append(("sec-websocket-protocol", message["subprotocol"]))
        headers += [(_text(name), _text(value)) for name, value in message.get("headers", ())]
        connection = take(self._scope.client, self._scope.server)
        self._answered = True
        try:
            self._socket = await switch(connection, self._protocol, headers, LONGEST)
        except OSError:
            self.abandoned = True
            raise

    def finish(self, code: int = 1000) -> None:
        """End the connection: one that was never answered is refused with 500."""
        self._close(500, code)

    def _close(self, status: int, code: int) -> None:
        if not self._answered:
            self._answered = True
            self._protocol.response_empty(status, [])
        elif self._socket is not None:
            self._socket.close(code)


async def _next(body: AsyncIterator[bytes]) -> bytes | None:
    """The next part, None after the last. The builtin `anext` with a default crashes CPython 3.11 on granian's."""
    try:
        return await anext(body)
    except StopAsyncIteration:
        return None


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host else None


def _text(value: bytes) -> str:
    return value.decode("ascii") if value.isascii() else value.decode("utf-8", "replace")
