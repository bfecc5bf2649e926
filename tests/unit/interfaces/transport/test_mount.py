"""Applications of others under a path of ours, over RSGI (the real server) and over ASGI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
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
from starlette.requests import Request
from starlette.routing import Mount as Inner

from ramet.interfaces.transport.lifespan import Lifespan
from ramet.interfaces.transport.mount import Mount
from tests.unit.interfaces.transport.conftest import DEADLINE, Served
from tests.unit.interfaces.transport.site import Site

Serve = Callable[..., Served]


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


async def test_a_start_that_is_given_up_ends_the_application() -> None:
    ended: list[str] = []

    @contextlib.asynccontextmanager
    async def live(app: Starlette) -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("start")
        yield

    lifespan = Lifespan(Starlette(lifespan=live))
    starting = asyncio.create_task(lifespan.startup())
    await asyncio.wait([starting], timeout=0.05)
    starting.cancel()
    await asyncio.wait([starting])
    assert (starting.cancelled(), ended) == (True, ["start"])
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
