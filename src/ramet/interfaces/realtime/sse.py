"""Server-sent events (HTML standard, section 9.2) at /api/v1/events: one subscription on one answer without end."""

from __future__ import annotations

import random
from functools import partial

import msgspec

from ramet.errors import Problem
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.http.negotiation import choose_media
from ramet.interfaces.realtime.asking import Asking
from ramet.interfaces.realtime.stream import Stream
from ramet.interfaces.realtime.streams import Streams
from ramet.interfaces.transport.outlet import Outlet, StreamResponse
from ramet.interfaces.transport.request import Request, Response
from ramet.limits.addresses import Addresses
from ramet.operations.operation import Exchange, Operation
from ramet.operations.pipeline import Pipeline
from ramet.operations.watching.handler import Watch
from ramet.operations.watching.subscription import Subscription
from ramet.operations.watching.view import Event

MEDIA = "text/event-stream"
RETRY = (1_000, 3_000)
"""Milliseconds between which a client that lost its connection is told to come back."""
_encode = msgspec.json.Encoder().encode


class EventStream(Stream):
    """One subscriber. What several are told is written once, and kept with the event."""

    kind = "sse"
    subscription: Subscription | None = None

    def event(self, subscription: Subscription, event: Event) -> None:
        if not event.frame:
            event.frame = frame(event.kind, event.mark, event.body)
        self.tell(subscription, event.frame)

    def ready(self, subscription: Subscription, mark: str) -> None:
        document = {"id": mark, "kind": "ready", "resource": subscription.view.info.path}
        self.send(frame("ready", mark, _encode(document)))

    def reloading(self, subscription: Subscription, reason: str, mark: str) -> bytes:
        document = {"id": mark, "kind": "reload", "resource": subscription.view.info.path, "reason": reason}
        return frame("reload", mark, _encode(document))

    def heartbeat(self) -> bytes:
        return b":\n\n"

    def farewell(self, reason: str, retry: int) -> bytes:
        return b"event: end\nretry: %d\ndata: %s\n\n" % (retry, _encode({"kind": "end", "reason": reason}))

    def release(self) -> None:
        if self.subscription is not None:
            self.registry.hub.leave(self.subscription)


class Events:
    """Answers `GET /api/v1/events`."""

    def __init__(
        self, pipeline: Pipeline, asking: Asking, credentials: Credentials, addresses: Addresses, streams: Streams
    ) -> None:
        self._pipeline = pipeline
        self._asking = asking
        self._credentials = credentials
        self._addresses = addresses
        self._streams = streams

    async def __call__(self, request: Request) -> Response:
        """The stream. Raises Problem as a list would, before it begins."""
        header = request.header
        address = self._addresses.client(request.peer, header("x-forwarded-for") or "", header("forwarded") or "")
        try:
            choose_media(header("accept"), (MEDIA,))
            ask = self._asking.read(request.query)
            name = f"{ask.info.path}.watch"
            operation = Operation(kind="watch", name=name, info=ask.info, id=ask.record_id, query=ask.query)
            operation.exchange = Exchange(address.address, address.group)
            self._credentials.identify(request, operation, request.method)
        except Problem:
            self._pipeline.limiter.charge(None, address.group)
            raise
        watch: Watch = (await self._pipeline.run(operation)).watch
        headers = [
            ("content-type", MEDIA),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),  # nginx passes each event on at once
            ("x-content-type-options", "nosniff"),
            *operation.allowance.headers(),
        ]
        if request.method == "HEAD":
            return Response(200, headers)
        caller = watch.caller.id
        self._streams.enter(caller, address)
        mark, wait = header("last-event-id") or ask.mark, ask.wait

        async def begin(outlet: Outlet) -> None:
            # Whoever passes the response on has added to its headers. Naming the response here would make it refer to
            # itself, and keep all of this until garbage is next collected.
            request_id = dict(headers).get("x-request-id", "")
            stream = EventStream(self._streams, outlet, caller, address, request_id)
            await self._begin(stream, watch, mark, wait)

        leave = partial(self._streams.places.leave, caller, address.group)
        return StreamResponse(200, headers, begin=begin, leave=leave)

    async def _begin(self, stream: EventStream, watch: Watch, mark: str | None, wait: float | None) -> None:
        stream.send(b"retry: %d\n\n" % random.randint(*RETRY))
        if stream.closed:
            return
        stream.subscription = subscription = watch.join(stream)
        try:
            await watch.follow(subscription, mark)
        except Problem as problem:  # what was missed cannot be asked for now: it comes back and asks again
            stream.finish(problem.kind.code)
            return
        except BaseException:
            stream.finish("internal")
            raise
        if wait is not None:
            if wait:
                self._streams.limit(stream, wait)
            else:
                stream.finish("finished")


def frame(kind: str, mark: str, body: bytes) -> bytes:
    """One event as it is written. JSON has no line ends of its own."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (mark.encode(), kind.encode(), body)
