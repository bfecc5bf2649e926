"""Bodies that are taken without a task, against the real server: each is taken once, whole, or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ramet.errors import Problem
from ramet.interfaces.http.problems import render
from ramet.interfaces.transport import rsgi as transport
from ramet.interfaces.transport.arrival import Arrival
from ramet.interfaces.transport.deadline import Deadline
from ramet.interfaces.transport.request import Disconnected, Request, Response
from ramet.interfaces.transport.rsgi import begin_rsgi
from tests.unit.interfaces.transport.conftest import Served
from tests.unit.interfaces.transport.test_rsgi import CHUNKED, LIMIT, post

Serve = Callable[..., Served]


class Taker:
    """Takes bodies and answers with them; `told` is what it was given."""

    limit = LIMIT

    def __init__(self) -> None:
        self.told: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.answer: Callable[[Response], Any]

    def take(self, body: bytes) -> None:
        self.told.put_nowait(body)
        if body == b"break":
            raise ZeroDivisionError("a secret")
        self.answer(Response(201, [], b"<" + body + b">"))

    def fail(self, error: Exception) -> None:
        self.told.put_nowait(error)
        self.answer(render(error) if isinstance(error, Problem) else Response(400, []))


class Taking:
    """A handler whose every body goes to `taker`, and that answers what is left to it itself."""

    def __init__(self) -> None:
        self.taker = Taker()
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()

    def at_once(self, request: Request) -> Response | None:
        return None

    def receive(self, request: Request) -> Taker:
        return self.taker

    async def __call__(self, request: Request) -> Response:
        return Response(200, [], b"[" + await request.body(LIMIT) + b"]")

    async def serve(self, scope: Any, protocol: Any) -> None:
        left = begin_rsgi(self, scope, protocol)
        if isinstance(left, Arrival):
            self.arrivals.put_nowait(left)
        if left is not None:
            await left


@pytest.fixture
def taking() -> Taking:
    return Taking()


@pytest.fixture
async def served(serve: Serve, taking: Taking) -> Served:
    return serve(taking.serve)


async def test_a_body_of_known_length_is_taken_whole(served: Served, taking: Taking) -> None:
    for body in (b"abc", b"0123456789", b""):
        answer = await served.ask(post(b"Content-Length: %d" % len(body), body=body))
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert answer.endswith(b"<" + body + b">")
        assert await taking.taker.told.get() == body
    assert taking.taker.told.empty()


async def test_a_body_that_may_be_too_long_is_left_to_the_handler(served: Served, taking: Taking) -> None:
    assert (await served.ask(post(b"Content-Length: 11", body=b"x" * 11))).startswith(b"HTTP/1.1 413 ")
    assert (await served.ask(post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"))).endswith(b"[abc]")
    assert taking.taker.told.empty()


async def test_a_body_that_breaks_off_is_never_taken(served: Served, taking: Taking) -> None:
    await served.ask(post(b"Content-Length: 5", body=b"ab"), end=True)
    async with asyncio.timeout(20):
        assert isinstance(await taking.taker.told.get(), Disconnected)


async def test_a_body_that_does_not_come_is_given_up(
    served: Served, taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_deadline", Deadline(0.05))
    connection = await served.connect()
    connection.send(post(b"Content-Length: 5", body=b"ab"))
    assert (await connection.rest()).startswith(b"HTTP/1.1 408 ")
    told = await taking.taker.told.get()
    assert isinstance(told, Problem)
    assert told.kind.code == "request_timeout"
    assert taking.taker.told.empty()


async def test_a_stop_gives_up_what_has_not_come_and_leaves_what_has(served: Served, taking: Taking) -> None:
    connection = await served.connect()
    connection.send(post(b"Content-Length: 5", body=b"ab"))
    async with asyncio.timeout(20):
        arrival = await taking.arrivals.get()
    arrival.cancel()
    arrival.cancel()
    assert (await connection.rest()).startswith(b"HTTP/1.1 503 ")
    assert taking.taker.told.qsize() == 1


async def test_an_unforeseen_error_is_logged_and_hidden(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    answer = await served.ask(post(b"Content-Length: 5", body=b"break"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    assert "a secret" in caplog.text
