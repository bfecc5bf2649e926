"""Applications of others under a path of ours, over RSGI (the real server) and over ASGI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.urls import path as django_path
from django.urls import reverse
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount as Inner
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ramet.interfaces.transport.lifespan import Lifespan
from ramet.interfaces.transport.mount import Mount
from tests.unit.interfaces.transport.conftest import DEADLINE, Served

Serve = Callable[..., Served]


class Site:
    """A Starlette application that tells what happens to it."""

    def __init__(self, folder: Path) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.file = folder / "file.bin"
        self.file.write_bytes(b"f" * 300_000)
        self.app = Starlette(
            routes=[
                Route("/about", self.about, name="about"),
                Route("/echo", self.echo, methods=["POST"]),
                Route("/chunks", self.chunks, methods=["POST"]),
                Route("/stream", self.stream),
                Route("/forever", self.forever),
                Route("/wait", self.wait),
                Route("/file", self.send_file),
                Route("/break", self.break_),
                Route("/empty", self.empty),
                WebSocketRoute("/socket", self.socket),
                WebSocketRoute("/refuse", self.refuse),
                WebSocketRoute("/leave", self.leave),
                WebSocketRoute("/fail", self.fail),
                WebSocketRoute("/listen", self.listen),
            ],
            lifespan=self.live,
        )

    @contextlib.asynccontextmanager
    async def live(self, app: Starlette) -> AsyncIterator[dict[str, str]]:
        self.events.put_nowait("start")
        yield {"name": "site"}
        self.events.put_nowait("stop")

    async def about(self, request: Request) -> Response:
        scope = request.scope
        return JSONResponse(
            {
                "url": str(request.url),
                "self": str(request.url_for("about")),
                "path": scope["path"],
                "root_path": scope["root_path"],
                "query": scope["query_string"].decode(),
                "method": scope["method"],
                "version": scope["http_version"],
                "client": scope["client"][0],
                "server": scope["server"][0],
                "accept": request.headers.getlist("accept"),
                "state": request.state.name,
            }
        )

    async def echo(self, request: Request) -> Response:
        return Response(await request.body(), 201, {"x-a": "ü"})

    async def chunks(self, request: Request) -> Response:
        try:
            async for chunk in request.stream():
                self.events.put_nowait(f"got {len(chunk)}")
        except ClientDisconnect:
            self.events.put_nowait("disconnected")
        return PlainTextResponse("done")

    async def stream(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first;"
            await self.go.wait()
            yield b"second;"

        return StreamingResponse(parts())

    async def forever(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x"

        return StreamingResponse(parts())

    async def wait(self, request: Request) -> Response:
        self.events.put_nowait("waiting")
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.events.put_nowait("disconnected")
        return PlainTextResponse("nobody reads this")

    async def send_file(self, request: Request) -> Response:
        return FileResponse(self.file)

    async def break_(self, request: Request) -> Response:
        raise ZeroDivisionError("a secret")

    async def empty(self, request: Request) -> Response:
        return Response(status_code=204)

    async def socket(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(
            [socket.url.path, socket.scope["scheme"], socket.scope["subprotocols"], socket.state.name]
        )
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if message.get("text") is not None:
                    await socket.send_text(message["text"].upper())
                else:
                    await socket.send_bytes(message["bytes"][::-1])
        finally:
            self.events.put_nowait("left")

    async def refuse(self, socket: WebSocket) -> None:
        await socket.close()

    async def leave(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4000)

    async def fail(self, socket: WebSocket) -> None:
        raise ZeroDivisionError("a secret")

    async def listen(self, socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await socket.receive_text()
        self.events.put_nowait("left")

    async def next(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return await self.events.get()


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
async def mount(site: Site) -> AsyncIterator[Mount]:
    mount = Mount("/site", site.app)
    await mount.startup()
    assert await site.next() == "start"
    yield mount
    await mount.shutdown()
    while await site.next() != "stop":
        pass


@pytest.fixture
async def served(mount: Mount, serve: Serve) -> Served:
    return serve(mount.rsgi)


@pytest.fixture
async def over_rsgi(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, timeout=DEADLINE) as client:
        yield client


@pytest.fixture
async def over_asgi(mount: Mount) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(mount.asgi, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
        yield client


@pytest.fixture(params=["over_rsgi", "over_asgi"])
def client(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


async def test_the_application_sees_the_whole_address_and_its_own_root(client: httpx.AsyncClient) -> None:
    headers = [("accept", "a"), ("accept", "b"), ("host", "host")]
    about = (await client.get("/site/about?q=%20x", headers=headers)).json()
    assert about == {
        "url": "http://host/site/about?q=%20x",
        "self": "http://host/site/about",
        "path": "/site/about",
        "root_path": "/site",
        "query": "q=%20x",
        "method": "GET",
        "version": "1.1",
        "client": "127.0.0.1",
        "server": about["server"],
        "accept": ["a", "b"],
        "state": "site",
    }


async def test_bodies_go_both_ways(client: httpx.AsyncClient) -> None:
    for body in (b"", b"abc", bytes(range(256)) * 4_000):
        answer = await client.post("/site/echo", content=body)
        assert (answer.status_code, answer.content) == (201, body)
        assert answer.headers["content-length"] == str(len(body))


async def test_a_streamed_body_arrives_whole(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(50):
            yield b"%04d" % number * 500

    answer = await client.post("/site/echo", content=parts())
    assert answer.content == b"".join([b"%04d" % number * 500 for number in range(50)])


async def test_head_and_unknown_addresses(client: httpx.AsyncClient) -> None:
    head = await client.head("/site/about")
    assert (head.status_code, head.content) == (200, b"")
    assert (await client.get("/site/none")).status_code == 404
    assert (await client.get("/site/empty")).status_code == 204


async def test_an_error_is_500_and_hidden(client: httpx.AsyncClient) -> None:
    answer = await client.get("/site/break")
    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_a_file_is_sent_whole(client: httpx.AsyncClient, site: Site) -> None:
    answer = await client.get("/site/file")
    assert answer.content == site.file.read_bytes()
    assert answer.headers["content-length"] == "300000"


async def test_parts_are_sent_as_they_come(over_rsgi: httpx.AsyncClient, site: Site) -> None:
    async with over_rsgi.stream("GET", "/site/stream") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"first;"
        site.go.set()
        assert [part async for part in parts] == [b"second;"]


async def test_an_endless_answer_ends_with_its_reader(
    mount: Mount, serve: Serve, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(scope: Any, protocol: Any) -> None:
        await mount.rsgi(scope, protocol)
        site.events.put_nowait("ended")

    connection = await serve(answer).connect()
    connection.send(b"GET /site/forever HTTP/1.1\r\nHost: a\r\n\r\n")
    await connection.until(b"x")
    await connection.close()
    assert await site.next() == "ended"
    assert "error" not in caplog.text


async def test_an_application_learns_that_its_client_left(served: Served, site: Site) -> None:
    connection = await served.connect()
    connection.send(b"GET /site/wait HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await site.next() == "waiting"
    await connection.close()
    assert await site.next() == "disconnected"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
async def test_a_body_that_breaks_off_is_no_whole_one(served: Served, site: Site, framing: bytes) -> None:
    await served.ask(b"POST /site/chunks HTTP/1.1\r\nHost: a\r\n" + framing, end=True)
    assert await site.next() == "got 3"
    assert await site.next() == "disconnected"


async def test_a_websocket_goes_both_ways(served: Served, site: Site) -> None:
    async with connect(f"ws://127.0.0.1:{served.port}/site/socket", open_timeout=DEADLINE) as socket:
        assert await socket.recv() == '["/site/socket","ws",[],"site"]'
        await socket.send("abc")
        assert await socket.recv() == "ABC"
        await socket.send(b"abc")
        assert await socket.recv() == b"cba"
    assert await site.next() == "left"


async def test_a_websocket_is_told_when_its_client_vanishes(served: Served, site: Site) -> None:
    socket = await connect(f"ws://127.0.0.1:{served.port}/site/listen", open_timeout=DEADLINE)
    socket.transport.abort()
    assert await site.next() == "left"
    await socket.close()


@pytest.mark.parametrize(("path", "status"), [("refuse", 403), ("fail", 500)])
async def test_a_websocket_may_be_refused(served: Served, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{served.port}/site/{path}", open_timeout=DEADLINE)
    assert refused.value.response.status_code == status


async def test_a_websocket_may_be_closed_by_the_application(served: Served) -> None:
    async with connect(f"ws://127.0.0.1:{served.port}/site/leave", open_timeout=DEADLINE) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_addresses_match_by_whole_segments() -> None:
    mount = Mount("/site", FastAPI())
    assert mount.matches("/site")
    assert mount.matches("/site/")
    assert mount.matches("/site/a")
    for other in ("/", "/sites", "/sit", "/a/site", "site"):
        assert not mount.matches(other)


@pytest.mark.parametrize("prefix", ["", "/", "site", "/site/"])
def test_a_prefix_is_a_path(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Mount(prefix, FastAPI())


async def test_a_mount_inside_a_framework_inside_a_mount() -> None:
    site = FastAPI()

    @site.get("/about")
    async def about(request: Request) -> dict[str, str]:
        return {"root_path": request.scope["root_path"], "self": str(request.url_for("about"))}

    outer = Starlette(routes=[Inner("/outer", Mount("/site", site).asgi)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://host") as client:
        about_ = (await client.get("/outer/site/about")).json()
    assert about_ == {"root_path": "/outer/site", "self": "http://host/outer/site/about"}


async def test_an_application_that_cannot_start_says_why() -> None:
    @contextlib.asynccontextmanager
    async def live(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no templates")
        yield

    lifespan = Lifespan(Starlette(lifespan=live))
    with pytest.raises(RuntimeError, match="no templates"):
        await lifespan.startup()
    await lifespan.shutdown()


async def test_an_application_without_lifespan_is_left_alone() -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("only http here")

    mount = Mount("/site", plain)
    await mount.startup()
    await mount.shutdown()


async def test_django_runs_in_a_mount(serve: Serve) -> None:
    settings.configure(
        SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF=(django_path("about", about_django, name="about"),)
    )
    mount = Mount("/django", ASGIHandler())
    await mount.startup()
    async with httpx.AsyncClient(base_url=serve(mount.rsgi).url, timeout=DEADLINE) as client:
        answer = await client.post("/django/about?q=1", content=b"abc")
    assert answer.text == "/django/about /django/about abc"
    await mount.shutdown()


async def about_django(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.path} {reverse('about')} {request.body.decode()}")


async def test_an_application_that_never_started_needs_no_stop() -> None:
    await Lifespan(FastAPI()).shutdown()
