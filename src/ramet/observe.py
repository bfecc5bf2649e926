"""The closed list of events that logs, metrics and traces subscribe to. Imports nothing of Ramet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec


class RequestDone(msgspec.Struct, gc=False):
    """One answered request. `seconds` is wall time, `path` has no query, `cache` and `code` may be empty."""

    operation: str
    method: str
    path: str
    status: int
    seconds: float
    size: int
    cache: str
    caller: str | None
    address: str
    request_id: str
    trace_id: str
    code: str


class StatementRun(msgspec.Struct, gc=False):
    """One SQL statement: `seconds` on the connection, `rows` returned or changed, `plan` only when slow."""

    sql: str
    seconds: float
    rows: int
    plan: str


class BatchCommitted(msgspec.Struct, gc=False):
    """One commit of the writer: `writes` acknowledged together, `seconds` for the commit itself."""

    writes: int
    seconds: float


class LimitRefused(msgspec.Struct):
    """A request refused by a rate limit (`policy`) or by overload (`policy` = "overload")."""

    policy: str
    address: str


class StreamEnded(msgspec.Struct):
    """An event stream or WebSocket is over. `kind` is sse or websocket; `seconds` it was open, `size` bytes were sent.

    `reason` is gone (the client left), slow, renew, finished, shutdown, unsubscribed, or the code of a problem.
    """

    kind: str
    seconds: float
    events: int
    size: int
    caller: str | None
    address: str
    request_id: str
    reason: str


class StreamOpened(msgspec.Struct):
    """An event stream or WebSocket has begun: `kind` is sse or websocket."""

    kind: str


class EventsSent(msgspec.Struct, gc=False):
    """Changes were told to subscribers: `events` were encoded, and sent `deliveries` times."""

    events: int
    deliveries: int


class ReloadSent(msgspec.Struct):
    """A subscriber was told to read again: `reason` is expired, behind, access or missed."""

    reason: str


class SignInFailed(msgspec.Struct):
    """A refused sign-in, register or refresh. `reason` is for operators and never sent to the caller."""

    reason: str
    address: str


class SessionRevoked(msgspec.Struct):
    """A session ended: `reason` is sign_out, everywhere, replay, password or administrator."""

    session: str
    user: str
    reason: str


class HookFailed(msgspec.Struct):
    """An after-commit hook raised; it will be tried again. `attempt` counts from 1."""

    hook: str
    change: str
    attempt: int
    error: str


class Crashed(msgspec.Struct):
    """An exception nobody expected, answered with `internal`. `error` is the exception itself."""

    operation: str
    request_id: str
    error: BaseException


class Lifecycle(msgspec.Struct):
    """The process itself: `step` is starting, ready, stopping, stopped or migrated; `detail` is one sentence."""

    step: str
    detail: str


Event = (
    RequestDone
    | StatementRun
    | BatchCommitted
    | LimitRefused
    | StreamOpened
    | StreamEnded
    | EventsSent
    | ReloadSent
    | SignInFailed
    | SessionRevoked
    | HookFailed
    | Crashed
    | Lifecycle
)
EVENTS: tuple[type[msgspec.Struct], ...] = (
    RequestDone,
    StatementRun,
    BatchCommitted,
    LimitRefused,
    StreamOpened,
    StreamEnded,
    EventsSent,
    ReloadSent,
    SignInFailed,
    SessionRevoked,
    HookFailed,
    Crashed,
    Lifecycle,
)

E = TypeVar("E", bound=msgspec.Struct)


class Observer:
    """Delivers each event to its subscribers, in the order they subscribed, on the caller's stack."""

    def __init__(self) -> None:
        self._subscribers: dict[type[msgspec.Struct], tuple[Callable[[Any], None], ...]] = {}

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> None:
        if kind not in EVENTS:
            raise TypeError(f"{kind.__name__} is not an event; events are {', '.join(e.__name__ for e in EVENTS)}")
        self._subscribers[kind] = (*self._subscribers.get(kind, ()), subscriber)

    def unsubscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> None:
        left = tuple(other for other in self._subscribers.get(kind, ()) if other != subscriber)
        if left:
            self._subscribers[kind] = left
        else:
            self._subscribers.pop(kind, None)

    def emit(self, event: Event) -> None:
        for subscriber in self._subscribers.get(type(event), ()):
            subscriber(event)

    def wants(self, kind: type[msgspec.Struct]) -> bool:
        """Whether anybody listens: lets a hot path skip building an event."""
        return kind in self._subscribers


class Subscriptions(Observer):
    """Those of one life of an application: made at its observer, which outlives it, until they are left."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer
        self._leaves: list[Callable[[], None]] = []

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> None:
        self._observer.subscribe(kind, subscriber)
        self._leaves.append(lambda: self._observer.unsubscribe(kind, subscriber))

    def leave(self) -> None:
        """Nothing is told any more."""
        while self._leaves:
            self._leaves.pop()()
