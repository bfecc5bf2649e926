"""The RSGI face, against the real server: what a request looks like, how bodies end, and what hyper says by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from ramet.errors import Problem
from ramet.interfaces.transport import rsgi as transport
from ramet.interfaces.transport.deadline import Deadline
from ramet.interfaces.transport.request import HEADER_SIZE_LIMIT, TARGET_LIMIT, Disconnected, Request, Response
from ramet.interfaces.transport.rsgi import serve_rsgi
from tests.unit.interfaces.transport.conftest import Served

Serve = Callable[..., Served]
LIMIT = 10
REST = "hostaxconnectionclose"
"""What other headers a request with a large `X` has here."""


class Seen(msgspec.Struct):
    """What the handler saw."""

    method: str
    path: str
    query: str
    peer: str
    scheme: str
    flaw: str
    headers: dict[str, str | None]


async def look(request: Request) -> Response:
    names = ("host", "accept", "cookie", "authorization", "user-agent", "x-none")
    seen = Seen(
        request.method,
        request.path,
        request.query,
        request.peer,
        request.scheme,
        request.flaw.kind.code if request.flaw else "",
        {name: request.header(name) for name in names},
    )
    return Response(200, [("content-type", "application/json")], msgspec.json.encode(seen))


async def seen(server: Served, head: bytes) -> Seen:
    answer = await server.ask(head + b"connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=Seen)


@pytest.fixture
async def looking(serve: Serve) -> Served:
    return serve(partial(serve_rsgi, look))


async def test_the_parts_of_a_request(looking: Served) -> None:
    got = await seen(
        looking,
        b"PATCH /p%20a%2Fb/%C3%A9?q=%20x HTTP/1.1\r\nHost: a\r\nAccept: x\r\naccept: y\r\n"
        b"Cookie: a=1\r\nCookie: b=2\r\nUser-Agent: \xff\r\n",
    )
    assert (got.method, got.path, got.query, got.flaw) == ("PATCH", "/p a/b/é", "q=%20x", "")
    assert (got.peer, got.scheme) == ("127.0.0.1", "http")
    assert got.headers == {
        "host": "a",
        "accept": "x, y",
        "cookie": "a=1; b=2",
        "authorization": None,
        "user-agent": "\ufffd",
        "x-none": None,
    }


@pytest.mark.parametrize(
    ("head", "flaw"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", ""),
        (b"GET / HTTP/1.0\r\n", ""),
        (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n", ""),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n", ""),
        (b"GET / HTTP/1.1\r\n", "bad_request"),
        (b"GET /%ff HTTP/1.1\r\nHost: a\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "invalid_header"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n", "invalid_header"),
        (b"GET /" + b"a" * TARGET_LIMIT + b" HTTP/1.1\r\nHost: a\r\n", "uri_too_long"),
        (b"GET /?" + b"a" * TARGET_LIMIT + b" HTTP/1.1\r\nHost: a\r\n", "uri_too_long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: " + b"a" * 33_000 + b"\r\n", "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (HEADER_SIZE_LIMIT - len(REST)) + b"\r\n", ""),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (HEADER_SIZE_LIMIT - len(REST) + 1) + b"\r\n",
            "headers_too_large",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 60_000 + b"\r\n", "headers_too_large"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9_000 + b"\r\n" + b"x" * 24_000 + b": a\r\n",
            "headers_too_large",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 700) for n in range(50)),
            "headers_too_large",
        ),
    ],
)
async def test_what_is_wrong_before_the_body_is_flagged(looking: Served, head: bytes, flaw: str) -> None:
    answer = await looking.ask(head + b"Connection: close\r\n\r\n")
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=Seen).flaw == flaw


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 65_600 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(120)) + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", b"431"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP\r\n\r\n", b"400"),
    ],
)
async def test_hyper_refuses_what_is_not_http_by_itself(looking: Served, request_: bytes, status: bytes) -> None:
    answer = await looking.ask(request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in head
    assert body == b""


async def echo(request: Request) -> Response:
    if request.path == "/ignore":
        return Response(200, [("x-a", "1"), ("x-a", "2")], b"ignored")
    if request.path == "/break":
        raise ZeroDivisionError("a secret")
    return Response(200, [], b"<" + await request.body(LIMIT) + b">")


@pytest.fixture
async def echoing(serve: Serve) -> Served:
    return serve(partial(serve_rsgi, echo))


def post(*headers: bytes, body: bytes = b"", path: bytes = b"/") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: a", b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (post(), b""),
        (post(b"Content-Length: 0"), b""),
        (post(b"Content-Length: 3", body=b"abc"), b"abc"),
        (post(b"Content-Length: 10", body=b"0123456789"), b"0123456789"),
        (post(CHUNKED, body=b"0\r\n\r\n"), b""),
        (post(CHUNKED, body=b"3\r\nabc\r\n7\r\n0123456\r\n0\r\n\r\n"), b"abc0123456"),
        (post(CHUNKED, b"Content-Length: 99", body=b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
        (post(CHUNKED, b"Trailer: X-Sum", body=b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), b"abc"),
    ],
)
async def test_a_body_is_read_whole(echoing: Served, request_: bytes, body: bytes) -> None:
    assert (await echoing.ask(request_)).endswith(b"\r\n\r\n<" + body + b">")


@pytest.mark.parametrize(
    "request_",
    [
        post(b"Content-Length: 11", body=b"01234567890"),
        post(b"Content-Length: 5000000", body=b"x" * 5_000_000),
        post(CHUNKED, body=b"b\r\n01234567890\r\n0\r\n\r\n"),
        post(CHUNKED, body=b"6\r\n012345\r\n6\r\n012345\r\n"),
    ],
)
async def test_a_body_over_the_limit_is_refused_and_the_client_can_read_so(echoing: Served, request_: bytes) -> None:
    answer = await echoing.ask(request_)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"content-type: application/problem+json" in answer


async def test_a_client_that_waits_for_permission_gets_it(echoing: Served) -> None:
    connection = await echoing.connect()
    connection.send(post(b"Expect: 100-continue", b"Content-Length: 3"))
    assert await connection.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"abc")
    assert (await connection.rest()).endswith(b"<abc>")


async def test_a_client_that_waits_for_permission_is_refused_without(echoing: Served) -> None:
    answer = await echoing.ask(post(b"Expect: 100-continue", b"Content-Length: 11"))
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "request_",
    [
        post(b"Content-Length: 5", body=b"ab"),
        post(CHUNKED, body=b"2\r\nab\r\n"),
        post(CHUNKED, body=b"2\r\nab\r\nzz\r\n"),
        post(CHUNKED, body=b"2\r\na"),
    ],
)
async def test_a_body_that_breaks_off_is_never_taken_for_a_whole_one(serve: Serve, request_: bytes) -> None:
    outcomes: asyncio.Queue[str] = asyncio.Queue()

    async def handler(request: Request) -> Response:
        try:
            outcomes.put_nowait(repr(await request.body(LIMIT)))
        except Disconnected:
            outcomes.put_nowait("disconnected")
            raise
        return Response(200, [])

    answer = await serve(partial(serve_rsgi, handler)).ask(request_, end=True)
    async with asyncio.timeout(20):
        assert await outcomes.get() == "disconnected"
    assert not answer.startswith(b"HTTP/1.1 200")


async def test_a_body_that_does_not_come_is_given_up(echoing: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_deadline", Deadline(0.05))
    for headers in ((b"Content-Length: 5",), (CHUNKED,)):
        connection = await echoing.connect()
        connection.send(post(*headers, body=b""))
        assert (await connection.rest()).startswith(b"HTTP/1.1 408 ")


async def test_an_unread_body_does_not_spoil_the_answer(echoing: Served) -> None:
    answer = await echoing.ask(post(b"Content-Length: 3", body=b"abc", path=b"/ignore"))
    assert answer.endswith(b"ignored")
    assert answer.count(b"x-a: ") == 2


async def test_head_has_the_length_and_no_body(echoing: Served) -> None:
    answer = await echoing.ask(b"HEAD /ignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"content-length: 7" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_an_unforeseen_error_is_logged_and_hidden(echoing: Served, caplog: pytest.LogCaptureFixture) -> None:
    answer = await echoing.ask(post(path=b"/break"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b'"code":"internal"' in answer
    assert b"secret" not in answer
    assert "a secret" in caplog.text


@pytest.mark.parametrize("status", [204, 304])
async def test_an_empty_answer_has_no_length(serve: Serve, status: int) -> None:
    async def handler(request: Request) -> Response:
        return Response(status, [("etag", '"a"')])

    answer = await serve(partial(serve_rsgi, handler)).ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"content-length" not in answer
    assert b'etag: "a"' in answer


async def test_requests_share_a_connection(echoing: Served) -> None:
    connection = await echoing.connect()
    for body in (b"a", b"bc"):
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert (await connection.until(b">")).endswith(b"<" + body + b">")


async def test_a_handler_may_raise_a_problem(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        raise Problem("overloaded")

    answer = await serve(partial(serve_rsgi, handler)).ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer


async def test_ipv6_peers_have_no_brackets() -> None:
    class Scope:
        method, path, query_string, http_version, scheme = "GET", "/", "", "1.1", "http"
        headers: Any = {"host": "a"}
        client = "[2001:db8::1]:5000"

    scope: Any = Scope()
    scope.headers = _Headers()
    assert transport.RsgiRequest(scope, scope).peer == "2001:db8::1"
    scope.client = "[::ffff:192.0.2.7]:5000"
    assert transport.RsgiRequest(scope, scope).peer == "192.0.2.7"
    scope.client = ""
    assert transport.RsgiRequest(scope, scope).peer == ""


class _Headers:
    def __len__(self) -> int:
        return 1

    def keys(self) -> list[str]:
        return ["host"]

    def items(self) -> list[tuple[str, str]]:
        return [("host", "a")]
