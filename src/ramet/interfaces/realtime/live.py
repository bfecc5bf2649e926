"""The WebSocket at /api/v1/live: several subscriptions on one connection."""

from __future__ import annotations

from typing import Literal, Protocol

from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS, Caller
from ramet.interfaces.realtime import messages
from ramet.interfaces.realtime.asking import Asking
from ramet.interfaces.realtime.messages import Authenticate, Message, Ping, Subscribe, Unsubscribe
from ramet.interfaces.realtime.stream import Stream
from ramet.interfaces.realtime.streams import Streams
from ramet.interfaces.transport.outlet import Outlet
from ramet.limits.addresses import ClientAddress
from ramet.operations.operation import Exchange, Operation
from ramet.operations.pipeline import Pipeline
from ramet.operations.watching.handler import Watch
from ramet.operations.watching.subscription import Subscription
from ramet.operations.watching.view import Event

LIVE = "/api/v1/live"
Via = Literal["bearer", "cookie"]


class Socket(Protocol):
    """An accepted WebSocket, as far as it is read."""

    async def receive(self) -> str | bytes | None:
        """The next message; None when there will be none."""


class Connection(Stream):
    """One client. `token` is what it presents at each subscription."""

    kind = "websocket"

    def __init__(
        self,
        streams: Streams,
        outlet: Outlet,
        caller: Caller,
        address: ClientAddress,
        request_id: str,
        credentials: tuple[str | None, Via],
    ) -> None:
        super().__init__(streams, outlet, caller.id, address, request_id)
        self.token, self.via = credentials
        self.subscriptions: dict[str, Subscription] = {}
        self._names: dict[Subscription, str] = {}

    def keep(self, name: str, subscription: Subscription) -> None:
        self.subscriptions[name] = subscription
        self._names[subscription] = name

    def drop(self, name: str) -> None:
        """Ends one subscription. Raises Problem `not_found`."""
        subscription = self.subscriptions.pop(name, None)
        if subscription is None:
            raise Problem("not_found", "There is no subscription of this name.")
        del self._names[subscription]
        self._lost.pop(subscription, None)
        self.registry.hub.leave(subscription)

    def event(self, subscription: Subscription, event: Event) -> None:
        self.tell(subscription, messages.event(self._names[subscription], event.body))

    def ready(self, subscription: Subscription, mark: str) -> None:
        name, resource = self._names[subscription], subscription.view.info.path
        self.send(messages.write("ready", subscription=name, id=mark, resource=resource))

    def reloading(self, subscription: Subscription, reason: str, mark: str) -> bytes:
        name, resource = self._names[subscription], subscription.view.info.path
        return messages.write("reload", subscription=name, id=mark, resource=resource, reason=reason)

    def refuse(self, name: str | None, problem: Problem) -> None:
        """Says why something was refused; the connection goes on."""
        document = problem.as_document()
        if problem.retry_after is not None:
            document["retry_after"] = problem.retry_after
        self.send(messages.write("error", subscription=name, problem=document))

    def heartbeat(self) -> bytes:
        return messages.write("heartbeat")

    def farewell(self, reason: str, retry: int) -> bytes:
        return messages.write("end", reason=reason, retry=retry)

    def release(self) -> None:
        for subscription in self.subscriptions.values():
            self.registry.hub.leave(subscription)


class Live:
    """Serves connections once their handshake has been accepted."""

    def __init__(self, pipeline: Pipeline, asking: Asking, streams: Streams, limit: int) -> None:
        self._pipeline = pipeline
        self._asking = asking
        self._streams = streams
        self._limit = limit

    async def serve(self, connection: Connection, socket: Socket) -> None:
        """Reads what the client says until it leaves or is sent away."""
        while not connection.closed and (text := await socket.receive()) is not None:
            name = None
            try:
                message = self._read(connection, text)
                name = getattr(message, "subscription", None)
                await self._do(connection, message)
            except Problem as problem:
                connection.refuse(name, problem)
                if problem.kind.code in ("rate_limited", "body_too_large"):
                    connection.finish(problem.kind.code)

    def _read(self, connection: Connection, text: str | bytes) -> Message:
        """What cannot be understood counts like a request, and so does every message that is no subscription."""
        try:
            message = messages.read(text)
        except Problem:
            self._charge(connection)
            raise
        if not isinstance(message, Subscribe):
            self._charge(connection)
        return message

    async def _do(self, connection: Connection, message: Message) -> None:
        match message:
            case Subscribe():
                await self._subscribe(connection, message)
            case Unsubscribe(name):
                connection.drop(name)
                connection.send(messages.write("unsubscribed", subscription=name))
            case Authenticate(token):
                self._authenticate(connection, token)
            case Ping(id):
                connection.send(messages.write("pong", id=id))

    async def _subscribe(self, connection: Connection, message: Subscribe) -> None:
        name = message.subscription
        try:
            if name in connection.subscriptions:
                raise Problem("conflict", "There is a subscription of this name on this connection.")
            if len(connection.subscriptions) >= self._limit:
                raise Problem("conflict", f"A connection may have {self._limit} subscriptions.")
            ask = self._asking.read(message.query)
            if ask.wait is not None or ask.mark is not None:
                raise Problem("invalid_query", "`last_event_id` is a member of the message, and there is no `wait`.")
        except Problem:
            self._charge(connection)
            raise
        operation = Operation(
            kind="watch",
            name=f"{ask.info.path}.watch",
            info=ask.info,
            id=ask.record_id,
            query=ask.query,
            token=connection.token,
            via=connection.via,
        )
        operation.exchange = Exchange(connection.address.address, connection.address.group)
        watch: Watch = (await self._pipeline.run(operation)).watch
        if connection.closed:
            return
        subscription = watch.join(connection)
        connection.keep(name, subscription)
        try:
            await watch.follow(subscription, message.last_event_id or None)
        except BaseException:
            if connection.subscriptions.get(name) is subscription:
                connection.drop(name)
            raise

    def _authenticate(self, connection: Connection, token: str) -> None:
        """From now on subscriptions are this caller's; those of the same session last as long as the new token."""
        caller = self._pipeline.verifier.verify(token)
        connection.token, connection.via = token, "bearer"
        for subscription in connection.subscriptions.values():
            known = subscription.caller
            if (known.id, known.session, known.roles) == (caller.id, caller.session, caller.roles):
                self._streams.hub.renew(subscription, caller)
        connection.send(messages.write("authenticated", expires_at=int(caller.expires_at)))

    def _charge(self, connection: Connection) -> None:
        self._pipeline.limiter.charge(connection.caller, connection.address.group)


def caller_of(pipeline: Pipeline, token: str | None, via: Via) -> Caller:
    """Who opens a connection. Raises Problem for a bearer token that is refused; a stale cookie counts as none."""
    if token is None:
        return ANONYMOUS
    try:
        return pipeline.verifier.verify(token, via)
    except Problem:
        if via == "bearer":
            raise
        return ANONYMOUS
