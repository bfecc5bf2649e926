"""The body of a request on its way to whoever takes it without waiting for it: no task, no turn of the loop for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any, Protocol

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # public, but not marked as re-exported

from ramet.errors import Problem
from ramet.interfaces.http.problems import render
from ramet.interfaces.transport.deadline import Deadline
from ramet.interfaces.transport.request import Disconnected, Response

_log = logging.getLogger("ramet.transport")


class Receiver(Protocol):
    """Takes the body of one request, of at most `limit` bytes, and later calls `answer` with what came of it."""

    answer: Callable[[Response], Any]

    @property
    def limit(self) -> int: ...
    def take(self, body: bytes, /) -> None: ...
    def fail(self, error: Exception, /) -> None: ...


class Arrival:
    """One body that arrives. `ended` is called with it when the request is answered. May be awaited instead."""

    __slots__ = ("_deadline", "_future", "_protocol", "_receiver", "_waiter", "ended", "ends")

    def __init__(self, receiver: Receiver, protocol: Any, deadline: Deadline) -> None:
        self._future = protocol()
        self._receiver = receiver
        self._protocol = protocol
        self._deadline: Deadline | None = deadline
        self._waiter: asyncio.Future[None] | None = None
        self.ended: Callable[[Arrival], object] | None = None
        self.ends = 0.0
        receiver.answer = self._answer
        deadline.enter(self)
        self._future.add_done_callback(self._came)

    def expire(self) -> None:
        """The body has taken too long."""
        if self._deadline is not None:
            seconds = self._deadline.seconds
            self._give_up(Problem("request_timeout", f"The body did not arrive within {seconds:g} seconds."))

    def cancel(self) -> None:
        """The server stops: what has not come by now is not waited for."""
        if self._deadline is not None:
            self._deadline.leave(self)
            self._give_up(Problem("unavailable", "The server is stopping."))

    def __await__(self) -> Generator[Any, None, None]:
        if self._protocol is not None:
            self._waiter = asyncio.get_running_loop().create_future()
            yield from self._waiter

    def _give_up(self, problem: Problem) -> None:
        self._deadline = None
        self._future.cancel()
        self._future = None
        self._receiver.fail(problem)

    def _came(self, future: Any) -> None:
        if self._deadline is None:
            return
        self._deadline.leave(self)
        self._deadline = self._future = None
        try:
            try:
                body = future.result()
            except ProtocolClosed:
                self._receiver.fail(Disconnected())
            else:
                self._receiver.take(body)
        except Exception:
            _log.exception("unhandled error while a body was taken")
            self._answer(render(Problem("internal")))

    def _answer(self, response: Response) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        del self._receiver.answer  # what refers to one another in a ring stays in memory until it is searched for
        protocol.response_bytes(response.status, response.headers, response.body)
        if self.ended is not None:
            self.ended(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
