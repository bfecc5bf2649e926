"""One open stream, whatever its protocol: bounded in what is on its way, told to reload when it falls behind."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol

from ramet.errors import Problem
from ramet.interfaces.transport.outlet import Outlet
from ramet.limits.addresses import ClientAddress
from ramet.observe import ReloadSent, StreamEnded, StreamOpened
from ramet.operations.core import Core
from ramet.operations.watching.hub import Hub
from ramet.operations.watching.subscription import Subscription

PAUSE = 0.005
"""Seconds between two looks at how much has arrived."""


class Registry(Protocol):
    """Who keeps the open streams; see `streams`."""

    core: Core
    hub: Hub

    def add(self, stream: Stream, /) -> None: ...
    def remove(self, stream: Stream, /) -> None: ...
    def slow(self, stream: Stream, /) -> None:
        """The stream is behind: it is to be looked at now and then, until it says that it no longer is."""

    def retry(self) -> int:
        """Milliseconds after which a client whose stream we end should come back; another for each."""


class Stream(ABC):
    """What server-sent events and WebSockets have in common. Subclasses say how things are written.

    `send` hands on what fits. What does not is dropped, and the stream is `behind` until most of what is on its way has
    arrived; then each subscription that lost something gets one `reload`.
    """

    kind = ""

    def __init__(
        self, registry: Registry, outlet: Outlet, caller: str | None, address: ClientAddress, request_id: str
    ) -> None:
        self.registry = registry
        self.outlet = outlet
        self.caller = caller
        self.address = address
        self.behind = False
        self.closed = False
        self.until: float | None = None
        self._request_id = request_id
        self._limit = registry.core.settings.stream_buffer
        self._began = asyncio.get_running_loop().time()
        self._lost: dict[Subscription, None] = {}
        self._left = (0, 0.0)  # how much was pending at the last progress, and when that was
        self._events = self._size = 0
        outlet.gone = self._gone
        registry.add(self)
        registry.core.observer.emit(StreamOpened(self.kind))

    @abstractmethod
    def heartbeat(self) -> bytes:
        """A sign of life as it is written."""

    @abstractmethod
    def farewell(self, reason: str, retry: int) -> bytes:
        """The last thing written: why it ends, and after how many milliseconds to come back."""

    @abstractmethod
    def reloading(self, subscription: Subscription, reason: str, mark: str) -> bytes:
        """The order to read again, as it is written."""

    @abstractmethod
    def release(self) -> None:
        """Ends the subscriptions."""

    def send(self, data: bytes) -> bool:
        """Whether `data` was handed on. A single message may be larger than the bound, if nothing else is pending."""
        if self.behind or self.closed:
            return False
        pending = self.outlet.pending()
        if pending > self._limit:
            self._fall_behind(pending)
            return False
        self.outlet.send(data)
        self._size += len(data)
        return not self.closed

    def tell(self, subscription: Subscription, data: bytes) -> None:
        """Writes an event, or remembers that the subscription lost one."""
        if self.send(data):
            self._events += 1
        elif self.behind:
            self._lost[subscription] = None

    async def room(self) -> None:
        """Waits until half of what may be on its way has arrived, as long as something does."""
        loop = asyncio.get_running_loop()
        pending, since = self.outlet.pending(), loop.time()
        while pending > self._limit // 2 and self.outlet.measured and not (self.closed or self.behind):
            await asyncio.sleep(PAUSE)  # waits: for bytes to arrive, which nobody tells of
            last, pending = pending, self.outlet.pending()
            if pending < last:
                since = loop.time()
            elif loop.time() - since > self.registry.core.settings.stream_patience:
                return

    def reload(self, subscription: Subscription, reason: str, mark: str) -> None:
        if self.send(self.reloading(subscription, reason, mark)):
            self.registry.core.observer.emit(ReloadSent(reason))
        elif self.behind:
            self._lost[subscription] = None

    def ended(self, subscription: Subscription, problem: Problem) -> None:
        """The caller may not go on: no other subscription of this stream may either."""
        self.finish(problem.kind.code)

    def beat(self) -> None:
        self.send(self.heartbeat())

    def look(self, now: float) -> None:
        """Of a stream that is behind: whether it has come up, or is to be cut off."""
        pending = self.outlet.pending()
        if pending <= self._limit // 4:
            self.behind = False
            lost, self._lost = self._lost, {}
            for subscription in lost:
                self.reload(subscription, "behind", self.registry.core.feed.mark)
        elif pending < self._left[0]:
            self._left = (pending, now)
        elif now - self._left[1] > self.registry.core.settings.stream_patience:
            self.finish("slow", abort=True)

    def finish(self, reason: str, *, abort: bool = False) -> None:
        """Ends the stream, telling the client why; or without a word, when it does not read anyway."""
        if self.closed:
            return
        if abort:
            self.outlet.abort()
        else:
            self.outlet.send(self.farewell(reason, self.registry.retry()))
            self.outlet.close()
        self._end(reason)

    def _fall_behind(self, pending: int) -> None:
        if not self.outlet.measured:
            # Nobody can say whether it reads: it comes back and goes on from where it was.
            self.finish("renew")
            return
        self.behind = True
        self._left = (pending, asyncio.get_running_loop().time())
        self.registry.slow(self)

    def _gone(self) -> None:
        if not self.closed:
            self._end("gone")

    def _end(self, reason: str) -> None:
        self.closed = True
        self.release()
        self.registry.remove(self)
        seconds = asyncio.get_running_loop().time() - self._began
        self.registry.core.observer.emit(
            StreamEnded(
                self.kind,
                seconds,
                self._events,
                self._size,
                self.caller,
                self.address.address,
                self._request_id,
                reason,
            )
        )
