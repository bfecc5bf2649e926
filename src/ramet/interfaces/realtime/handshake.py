"""Handshakes of WebSockets, over RSGI and over ASGI: who may connect, and from where."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # public, but not marked as re-exported

from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.http.tracing import request_id
from ramet.interfaces.realtime.live import LIVE, Connection, Live, Socket, Via, caller_of
from ramet.interfaces.realtime.streams import Streams
from ramet.interfaces.transport.asgi import AsgiRequest, AsgiScope, Receive, Send
from ramet.interfaces.transport.outlet import QueuedOutlet
from ramet.interfaces.transport.request import Request
from ramet.interfaces.transport.rsgi import RsgiRequest
from ramet.interfaces.transport.sockets import AGAIN, Sockets
from ramet.limits.addresses import Addresses, ClientAddress
from ramet.operations.operation import Operation
from ramet.operations.pipeline import Pipeline

_CLOSED = 0  # the kind of granian's message when a WebSocket is over
_GOING_AWAY = 1001
HANG_UPS = 5


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
        self._sockets = Sockets()

    async def rsgi(self, scope: Any, protocol: Any) -> None:
        """A refusal before the handshake has a status only: this is all that RSGI can say."""
        try:
            admitted = self._admit(RsgiRequest(scope, protocol))
        except Problem as problem:
            protocol.close(problem.status)
            return
        try:
            transport = await protocol.accept()
        except BaseException:
            self._streams.places.leave(admitted.caller.id, admitted.address.group)
            raise
        outlet = QueuedOutlet(lambda data: transport.send_str(data.decode()), lambda: self._sockets.abort(scope.client))
        ours = False
        try:
            ours = await self._serve(admitted, outlet, _RsgiSocket(transport))
        finally:
            protocol.close()
        if ours:
            await self._hang_up(scope.client)

    async def _hang_up(self, client: str) -> None:
        """Granian's close waits for the client to say something. All is with the kernel by now, so it can be ended."""
        for _ in range(HANG_UPS):
            if self._sockets.abort(client):
                return
            await asyncio.sleep(AGAIN)

    async def asgi(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            admitted = self._admit(AsgiRequest({**scope, "method": "GET"}, receive))
        except Problem:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})

        async def write(data: bytes) -> None:
            await send({"type": "websocket.send", "text": data.decode()})

        outlet = QueuedOutlet(write, lambda: None)
        if await self._serve(admitted, outlet, _AsgiSocket(receive)):
            await send({"type": "websocket.close", "code": _GOING_AWAY})

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


class _RsgiSocket:
    def __init__(self, transport: Any) -> None:
        self._transport = transport

    async def receive(self) -> str | bytes | None:
        try:
            message = await self._transport.receive()
        except ProtocolClosed:
            return None
        return None if message.kind == _CLOSED else message.data


class _AsgiSocket:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def receive(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | bytes | None = message.get("text")
        return message.get("bytes", b"") if text is None else text
