"""Requests over RSGI, the protocol of the embedded server. This is the hot path: what runs here runs every time.

What granian gives, learnt from its source and kept true by tests: `scope.headers` copies all headers on each access;
`get` gives the first of repeated headers and skips values outside ASCII; `path` is percent-decoded with U+FFFD for bad
UTF-8; `Content-Length` has been validated. Iterating over a body raises nothing when the client breaks off: every
body ends with one empty part, and another empty part stands in place of an error, or of trailers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # public, but not marked as re-exported

from ramet.errors import Problem
from ramet.interfaces.http.problems import render
from ramet.interfaces.transport.arrival import Arrival, Receiver
from ramet.interfaces.transport.deadline import Deadline
from ramet.interfaces.transport.outlet import StreamResponse, SwitchResponse
from ramet.interfaces.transport.request import (
    BODY_TIMEOUT,
    DISCARD_LIMIT,
    TARGET_LIMIT,
    UNREADABLE,
    Disconnected,
    Handler,
    Request,
    Response,
    inspect,
    merge,
    plain_address,
    too_large,
)
from ramet.interfaces.transport.rsgi_outlet import RsgiOutlet, RsgiStream
from ramet.interfaces.transport.taken import Taken
from ramet.interfaces.transport.upgrade import switch, take

_log = logging.getLogger("ramet.transport")
_deadline = Deadline(BODY_TIMEOUT)
Left = Coroutine[Any, Any, None] | Arrival
"""What of a request must be waited for."""


class RsgiHeaders(Protocol):
    """Granian's view of the headers."""

    def __len__(self) -> int: ...
    def keys(self) -> list[str]: ...
    def items(self) -> list[tuple[str, str]]: ...


class RsgiScope(Protocol):
    """What granian says of a request; `client` is ADDRESS:PORT."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> RsgiHeaders: ...


class RsgiProtocol(Protocol):
    """Where granian takes the answer to an HTTP request."""

    def __call__(self) -> Awaitable[bytes]: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def client_disconnect(self) -> Awaitable[None]: ...
    def response_empty(self, status: int, headers: list[tuple[str, str]], /) -> None: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None: ...
    def response_file(self, status: int, headers: list[tuple[str, str]], file: str, /) -> None: ...
    def response_stream(self, status: int, headers: list[tuple[str, str]], /) -> RsgiStream: ...


class RsgiRequest:
    """A `Request` over RSGI."""

    __slots__ = ("_fields", "_protocol", "_scope", "flaw", "header", "method", "path", "query")

    flaw: Problem | None
    header: Callable[[str], str | None]

    def __init__(self, scope: RsgiScope, protocol: RsgiProtocol) -> None:
        self._scope = scope
        self._protocol = protocol
        self.method = scope.method
        self.path = path = scope.path
        self.query = query = scope.query_string
        headers = scope.headers
        items = headers.items()
        self._fields = fields = dict(items)
        self.header = fields.get
        self.flaw = None
        if (
            len(fields) != len(items)
            or len(headers) != len(fields)
            or sum(map(len, fields.values()), len(path) + len(query)) > TARGET_LIMIT
            or "host" not in fields
            or not path.isascii()
        ):
            self._look_closer()

    def _look_closer(self) -> None:
        """Something is unusual: headers repeated or unreadable, no host, much text, or an address outside ASCII."""
        headers = self._scope.headers
        items = headers.items()
        repeated = merge(items, self._fields)
        for name in headers.keys():  # noqa: SIM118 - not a mapping: iterating makes the same list
            self._fields.setdefault(name, UNREADABLE)
        self.flaw = inspect(self.path, self.query, items, repeated)
        if self.flaw is None and "host" not in self._fields and self._scope.http_version == "1.1":
            self.flaw = Problem("bad_request", "HTTP/1.1 requests need a `host` header.")

    @property
    def client(self) -> str:
        """The other end of the connection, as ADDRESS:PORT."""
        return self._scope.client

    @property
    def peer(self) -> str:
        host = self._scope.client.rpartition(":")[0]
        return plain_address(host[1:-1]) if host[:1] == "[" else host

    @property
    def scheme(self) -> str:
        return self._scope.scheme

    def take(self) -> Taken | None:
        return take(self._scope.client, self._scope.server) if self._scope.http_version == "1.1" else None

    def bounded(self, limit: int) -> bool:
        """Whether it has said that its body has at most `limit` bytes."""
        declared = self._fields.get("content-length")
        return declared is not None and int(declared) <= limit

    async def body(self, limit: int) -> bytes:
        declared = self._fields.get("content-length")
        if declared is None and "transfer-encoding" not in self._fields:
            return b""
        wait = _deadline.enter_task()
        try:
            if declared is None:
                return await self._collect(limit)
            if int(declared) <= limit:
                return await self._protocol()
            if "expect" not in self._fields:
                await self._discard(int(declared))
        except ProtocolClosed:
            raise Disconnected from None
        except asyncio.CancelledError:
            if wait.spent():
                sentence = f"The body did not arrive within {_deadline.seconds:g} seconds."
                raise Problem("request_timeout", sentence) from None
            raise
        finally:
            _deadline.leave(wait)
        raise too_large(limit)

    async def _collect(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = empty = 0
        async for chunk in self._protocol:
            if not chunk:
                empty += 1
                continue
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            parts.append(chunk)
        if empty > 1 and "trailer" not in self._fields:
            raise Disconnected
        return b"".join(parts)

    async def _discard(self, declared: int) -> None:
        if declared <= DISCARD_LIMIT:
            async for _ in self._protocol:
                pass


class ReadyHandler(Protocol):
    """A handler that can answer some requests without waiting: `at_once` gives None for all others.

    Of those `receive` gives the ones whose body is all that is left to wait for.
    """

    def at_once(self, request: Request, /) -> Response | None: ...
    def receive(self, request: Request, /) -> Receiver | None: ...
    def __call__(self, request: Request, /) -> Awaitable[Response]: ...


def begin_rsgi(handler: ReadyHandler, scope: RsgiScope, protocol: RsgiProtocol) -> Left | None:
    """Answer one HTTP request at once and give None; what must be waited for is left to what it gives."""
    request = RsgiRequest(scope, protocol)
    try:
        if request.method == "POST" and (receiver := handler.receive(request)) and request.bounded(receiver.limit):
            return Arrival(receiver, protocol, _deadline)
        response = handler.at_once(request)
    except Exception:
        response = _crashed(request)
    if response is None:
        return _serve(handler, request, protocol)
    protocol.response_bytes(response.status, response.headers, response.body)
    return None


def _crashed(request: Request) -> Response:
    """The answer when something went wrong that no handler foresaw, which is logged."""
    _log.exception("unhandled error in %s %s", request.method, request.path)
    return render(Problem("internal"))


async def serve_rsgi(handler: Handler, scope: RsgiScope, protocol: RsgiProtocol) -> None:
    """Answer one HTTP request with what `handler` gives.

    A Problem is rendered; anything else that escapes the handler is logged and answered with `internal`.
    """
    await _serve(handler, RsgiRequest(scope, protocol), protocol)


async def _serve(handler: Handler, request: RsgiRequest, protocol: RsgiProtocol) -> None:
    try:
        response = await handler(request)
    except Problem as problem:
        response = render(problem)
    except Disconnected:
        response = render(Problem("bad_request", "The body broke off."))
    except asyncio.CancelledError:
        response = render(Problem("unavailable", "The server is stopping."))  # only a stop cancels requests
    except Exception:
        response = _crashed(request)
    if response.__class__ is Response:
        protocol.response_bytes(response.status, response.headers, response.body)
    elif response.__class__ is StreamResponse:
        stream = protocol.response_stream(response.status, response.headers)
        await response.begin(RsgiOutlet(stream, request.client))
    elif response.__class__ is SwitchResponse:
        await _switch(response, protocol)


async def _switch(response: SwitchResponse, protocol: RsgiProtocol) -> None:
    found = None
    try:
        found = await switch(response.connection, protocol, response.headers, response.longest)
    except OSError:  # a time-out among others
        _log.debug("a connection ended in its handshake")
    finally:
        response.begin(found)
