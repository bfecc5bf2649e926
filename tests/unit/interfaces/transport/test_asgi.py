"""The ASGI face: what a request looks like, what goes out, and how the application starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount as StarletteMount

from ramet.errors import Problem
from ramet.interfaces.transport import asgi as transport
from ramet.interfaces.transport.asgi import AsgiApp, AsgiRequest, AsgiScope, Message, relative_path, serve_asgi
from ramet.interfaces.transport.request import (
    BODY_TIMEOUT,
    HEADER_COUNT_LIMIT,
    HEADER_SIZE_LIMIT,
    TARGET_LIMIT,
    Disconnected,
    Request,
    Response,
)


def scope(path: str = "/", headers: list[tuple[bytes, bytes]] | None = None, **more: Any) -> AsgiScope:
    base: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": headers or [],
    }
    return {**base, **more}


async def nothing() -> Message:
    raise AssertionError("nobody reads the body")


def messages(*parts: Message) -> Any:
    """A `receive` that gives these, one after the other."""
    waiting = iter(parts)

    async def receive() -> Message:
        return next(waiting)

    return receive


def chunks(*bodies: bytes) -> Any:
    last = len(bodies) - 1
    return messages(
        *({"type": "http.request", "body": body, "more_body": index < last} for index, body in enumerate(bodies))
    )


def test_the_parts_of_a_request() -> None:
    request = AsgiRequest(
        scope("/é/x", [(b"Accept", b"a"), (b"accept", b"b"), (b"cookie", b"c=1"), (b"cookie", b"d=2")],
              query_string=b"q=%20x", client=("192.0.2.7", 5000), scheme="https", method="PATCH"),
        nothing,
    )  # fmt: skip
    assert (request.method, request.path, request.query) == ("PATCH", "/é/x", "q=%20x")
    assert (request.peer, request.scheme) == ("192.0.2.7", "https")
    assert request.header("accept") == "a, b"
    assert request.header("cookie") == "c=1; d=2"
    assert request.header("Accept") is None
    assert request.header("authorization") is None
    assert request.flaw is None


def test_an_address_mapped_into_ipv6_is_given_as_ipv4() -> None:
    assert AsgiRequest(scope(client=("::ffff:192.0.2.7", 1)), nothing).peer == "192.0.2.7"
    assert AsgiRequest(scope(client=("2001:db8::1", 1)), nothing).peer == "2001:db8::1"
    assert AsgiRequest(scope(client=None), nothing).peer == ""


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (scope("/" + "a" * TARGET_LIMIT), "uri_too_long"),
        (scope("/", query_string=b"a" * TARGET_LIMIT), "uri_too_long"),
        (scope("/", [(b"x-%d" % n, b"") for n in range(HEADER_COUNT_LIMIT + 1)]), "headers_too_large"),
        (scope("/", [(b"x", b"a" * HEADER_SIZE_LIMIT)]), "headers_too_large"),
        (scope("/\ufffd"), "bad_request"),
        (scope("/", query_string=b"\xff"), "bad_request"),
        (scope("/", [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]), "invalid_header"),
        (scope("/", [(b"host", b"a"), (b"host", b"b")]), "invalid_header"),
        (scope("/", [(b"content-length", b"1"), (b"content-length", b"2")]), "invalid_header"),
    ],
)
def test_what_is_wrong_before_the_body_is_flagged(wrong: AsgiScope, code: str) -> None:
    flaw = AsgiRequest(wrong, nothing).flaw
    assert flaw is not None
    assert flaw.kind.code == code


def test_what_is_just_within_the_limits_is_not_flagged() -> None:
    headers = [(b"x-%02d" % n, b"a" * 100) for n in range(HEADER_COUNT_LIMIT)]
    assert AsgiRequest(scope("/" + "a" * (TARGET_LIMIT - 1), headers), nothing).flaw is None


def test_a_header_outside_ascii_is_there_but_unreadable() -> None:
    request = AsgiRequest(scope("/", [(b"cookie", "a=ü".encode()), (b"user-agent", b"\xff")]), nothing)
    assert request.flaw is None
    assert request.header("cookie") == request.header("user-agent") == "\ufffd"


@pytest.mark.parametrize(
    ("path", "root", "relative"),
    [
        ("/a", "", "/a"),
        ("/api/a", "/api", "/a"),
        ("/api", "/api", "/"),
        ("/api/", "/api/", "/"),
        ("/apis/a", "/api", "/apis/a"),
        ("/a", "/api", "/a"),
    ],
)
def test_the_path_is_relative_to_the_mount(path: str, root: str, relative: str) -> None:
    assert relative_path({"path": path, "root_path": root}) == relative


async def test_a_body_is_read_whole_up_to_the_limit() -> None:
    assert await AsgiRequest(scope(), chunks(b"ab", b"", b"cde")).body(5) == b"abcde"
    assert await AsgiRequest(scope("/", [(b"content-length", b"5")]), chunks(b"abcde")).body(5) == b"abcde"
    assert await AsgiRequest(scope(), chunks(b"")).body(0) == b""


async def test_a_body_over_the_limit_is_refused_as_soon_as_it_is() -> None:
    with pytest.raises(Problem) as refused:
        await AsgiRequest(scope(), messages({"type": "http.request", "body": b"abcdef", "more_body": True})).body(5)
    assert refused.value.kind.code == "body_too_large"


async def test_an_announced_body_over_the_limit_is_dropped_and_refused() -> None:
    with pytest.raises(Problem) as refused:
        await AsgiRequest(scope("/", [(b"content-length", b"6")]), chunks(b"abcdef")).body(5)
    assert refused.value.kind.code == "body_too_large"


async def test_a_refused_client_that_waits_for_permission_is_not_read_from() -> None:
    headers = [(b"content-length", b"6"), (b"expect", b"100-continue")]
    with pytest.raises(Problem) as refused:
        await AsgiRequest(scope("/", headers), nothing).body(5)
    assert refused.value.kind.code == "body_too_large"


@pytest.mark.parametrize("length", [b"-1", b"1.5", b"", b"abc", b"1e3"])
async def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    with pytest.raises(Problem) as refused:
        await AsgiRequest(scope("/", [(b"content-length", length)]), nothing).body(5)
    assert refused.value.kind.code == "invalid_header"


async def test_a_client_that_breaks_off_is_told_apart() -> None:
    request = AsgiRequest(
        scope(), messages({"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.disconnect"})
    )
    with pytest.raises(Disconnected):
        await request.body(5)


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BODY_TIMEOUT == transport.BODY_TIMEOUT
    monkeypatch.setattr(transport, "BODY_TIMEOUT", 0.01)
    never = asyncio.Event()

    async def receive() -> Message:
        await never.wait()
        raise AssertionError

    with pytest.raises(Problem) as refused:
        await AsgiRequest(scope(), receive).body(5)
    assert refused.value.kind.code == "request_timeout"


async def echo(request: Request) -> Response:
    if request.flaw is not None:
        raise request.flaw
    if request.path == "/break":
        raise ZeroDivisionError("a secret")
    if request.path == "/empty":
        return Response(204, [])
    body = await request.body(10)
    return Response(200, [("content-type", "text/plain"), ("x-path", request.path)], body or b"hello")


class Running:
    """Counts starts and stops; starting may be held back, or fail."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.error: Exception | None = None
        self.app = AsgiApp(echo, self.startup, self.shutdown)

    async def startup(self) -> None:
        await self.may_start.wait()
        if self.error is not None:
            raise self.error
        self.steps.append("start")

    async def shutdown(self) -> None:
        self.steps.append("stop")
        if self.error is not None:
            raise self.error


@pytest.fixture
async def running() -> Running:
    return Running()


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(running.app), base_url="http://test") as client:
        yield client


async def test_an_answer_goes_out_with_its_length(client: httpx.AsyncClient) -> None:
    answer = await client.get("/a")
    assert (answer.status_code, answer.text) == (200, "hello")
    assert answer.headers.multi_items() == [("content-type", "text/plain"), ("x-path", "/a"), ("content-length", "5")]


async def test_head_has_the_length_and_no_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/a")
    assert (answer.headers["content-length"], answer.content) == ("5", b"")


async def test_an_empty_answer_has_no_length(client: httpx.AsyncClient) -> None:
    answer = await client.get("/empty")
    assert (answer.status_code, dict(answer.headers)) == (204, {})


async def test_a_problem_is_rendered(client: httpx.AsyncClient) -> None:
    answer = await client.post("/a", content=b"x" * 11)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unforeseen_error_is_logged_and_hidden(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/break")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


async def test_a_body_that_broke_off_is_answered_for_whoever_still_listens() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await serve_asgi(echo, scope(), messages({"type": "http.disconnect"}), send)
    assert sent[0]["status"] == 400


async def test_without_a_lifespan_the_first_request_starts_the_application_once(
    running: Running, client: httpx.AsyncClient
) -> None:
    running.may_start.clear()
    asked = [asyncio.create_task(client.get("/a")) for _ in range(5)]
    await asyncio.sleep(0)
    running.may_start.set()
    assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 5
    assert running.steps == ["start"]


async def test_the_lifespan_starts_and_stops(running: Running) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    receive = messages({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await running.app({"type": "lifespan"}, receive, send)
    assert running.steps == ["start", "stop"]
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_a_failed_start_is_told_and_nothing_is_stopped(running: Running) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    running.error = RuntimeError("no disk")
    await running.app({"type": "lifespan"}, messages({"type": "lifespan.startup"}), send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no disk"}]
    assert running.steps == []


async def test_a_websocket_is_refused(running: Running) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await running.app({"type": "websocket"}, messages({"type": "websocket.connect"}), send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


@pytest.mark.parametrize(
    "make", [lambda app: _fastapi(app), lambda app: Starlette(routes=[StarletteMount("/api", app)])]
)
async def test_it_can_be_mounted_in_a_framework(running: Running, make: Any) -> None:
    outer = make(running.app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://test") as client:
        assert (await client.get("/api/a/b")).headers["x-path"] == "/a/b"
        assert (await client.get("/api/")).headers["x-path"] == "/"
    assert running.steps == ["start"]


def _fastapi(app: Any) -> FastAPI:
    outer = FastAPI()
    outer.mount("/api", app)
    return outer


def test_a_response_is_a_small_struct() -> None:
    assert Response.__struct_fields__ == ("status", "headers", "body")
    assert msgspec.structs.astuple(Response(204, [])) == (204, [], b"")
