"""Handshakes of WebSockets, as requests and over ASGI: who may connect, and from where."""

from __future__ import annotations

import asyncio
import logging

from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.http.tracing import request_id
from ramet.interfaces.realtime.live import LIVE, Connection, Live, Socket, Via, caller_of
from ramet.interfaces.realtime.messages import LONGEST
from ramet.interfaces.realtime.streams import Streams
from ramet.interfaces.transport.asgi import AsgiRequest, AsgiScope, Receive, Send
from ramet.interfaces.transport.outlet import QueuedOutlet, SwitchResponse
from ramet.interfaces.transport.request import Request, Response
from ramet.interfaces.transport.upgrade import accept, is_handshake
from ramet.interfaces.transport.websocket import GOING_AWAY, SocketOutlet, WebSocket
from ramet.limits.addresses import Addresses, ClientAddress
from ramet.operations.operation import Operation
from ramet.operations.pipeline import Pipeline

_log = logging.getLogger("ramet.realtime")


class _Admitted:
    """Whoever has passed the checks before the handshake is accepted."""

    def __init__(self, caller: Caller, address: ClientAddress, token: str | None, via: Via, identifier: str) -> None:
        self.caller = caller
        self.address = address
        self.credentials = (token, via)
        self.identifier = identifier


class Handshakes:
    """Serves the WebSockets of an application; `path` other than LIVE is nobody's."""

    def __init__(
        self, pipeline: Pipeline, live: Live, credentials: Credentials, addresses: Addresses, streams: Streams
    ) -> None:
        self._pipeline = pipeline
        self._live = live
        self._credentials = credentials
        self._addresses = addresses
        self._streams = streams

    async def __call__(self, request: Request) -> Response:
        """Answers a handshake that came as a request. Raises Problem for one that is refused."""
        header = request.header
        if request.method != "GET" or not is_handshake(header):
            address = self._addresses.client(request.peer, header("x-forwarded-for") or "", header("forwarded") or "")
            self._pipeline.limiter.charge(None, address.group)
            raise Problem("not_found")
        admitted = self._admit(request)
        try:
            headers = accept(header)
            connection = request.take()
            if connection is None:
                raise Problem("bad_request", "A WebSocket takes HTTP/1.1.")
        except BaseException:
            self._streams.places.leave(admitted.caller.id, admitted.address.group)
            raise
        return SwitchResponse(
            101, headers, connection=connection, longest=4 * LONGEST, begin=lambda socket: self._begin(socket, admitted)
        )

    def _begin(self, socket: WebSocket | None, admitted: _Admitted) -> None:
        """While nothing is said a connection has no task: it is the protocol of a transport, and that is all."""
        if socket is None:
            self._streams.places.leave(admitted.caller.id, admitted.address.group)
            return
        outlet = SocketOutlet(socket, GOING_AWAY)
        connection = Connection(
            self._streams, outlet, admitted.caller, admitted.address, admitted.identifier, admitted.credentials
        )
        socket.arrived = _Reader(self._live, connection, socket).arrived
        if socket.over:
            outlet.lost()
        elif socket.waiting:
            socket.arrived()

    async def asgi(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            admitted = self._admit(AsgiRequest({**scope, "method": "GET"}, receive))
        except Problem:
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await send({"type": "websocket.accept"})
        except BaseException:
            self._streams.places.leave(admitted.caller.id, admitted.address.group)
            raise

        async def write(data: bytes) -> None:
            await send({"type": "websocket.send", "text": data.decode()})

        outlet = QueuedOutlet(write, lambda: None)
        if await self._serve(admitted, outlet, _AsgiSocket(receive)):
            await send({"type": "websocket.close", "code": GOING_AWAY})

    def _admit(self, request: Request) -> _Admitted:
        """A cookie counts only from our own pages: a browser sends it from any page, and lets that page read along."""
        header = request.header
        address = self._addresses.client(request.peer, header("x-forwarded-for") or "", header("forwarded") or "")
        self._pipeline.limiter.charge(None, address.group)
        if request.flaw is not None:
            raise request.flaw
        if request.path != LIVE:
            raise Problem("not_found")
        operation = Operation(kind="watch", name="live", info=None)  # type: ignore[arg-type]  # credentials only
        self._credentials.identify(request, operation, "WEBSOCKET")
        caller = caller_of(self._pipeline, operation.token, operation.via)
        self._streams.enter(caller.id, address)
        return _Admitted(caller, address, operation.token, operation.via, request_id(header("x-request-id")))

    async def _serve(self, admitted: _Admitted, outlet: QueuedOutlet, socket: Socket) -> bool:
        """Serves until one side ends it; whether that was ours."""
        connection = Connection(
            self._streams, outlet, admitted.caller, admitted.address, admitted.identifier, admitted.credentials
        )
        reading = asyncio.ensure_future(self._live.serve(connection, socket))
        try:
            await asyncio.wait({reading, outlet.done}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            if connection.closed:
                await outlet.flushed()
                return not reading.done()
            return False
        finally:
            reading.cancel()
            outlet.lost()
            await asyncio.wait([reading])


class _Reader:
    """Handles what a client says, in a task that lives as long as there is something."""

    __slots__ = ("_connection", "_live", "_socket", "_task")

    def __init__(self, live: Live, connection: Connection, socket: WebSocket) -> None:
        self._live = live
        self._connection = connection
        self._socket = socket
        self._task: asyncio.Task[None] | None = None

    def arrived(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve(), name="serve a WebSocket")

    async def receive(self) -> str | bytes | None:
        """The message that waits; None when none does, and when nobody wants it any more."""
        return None if self._connection.closed else self._socket.next()

    async def _serve(self) -> None:
        try:
            await self._live.serve(self._connection, self)
        except Exception:
            _log.exception("unhandled error in a WebSocket")
            self._connection.finish("internal")
        finally:
            self._task = None


class _AsgiSocket:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def receive(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | bytes | None = message.get("text")
        return message.get("bytes", b"") if text is None else text
