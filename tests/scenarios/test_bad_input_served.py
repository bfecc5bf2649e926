"""A sample of every wrong kind of input sent to `ramet serve`, and what only a connection can do wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import httpx
import msgspec

from tests.process.harness import Connection, Running, ramet_serve

from . import bad_input_world
from .bad_input_world import Call, World, refuse_all, wrong
from .bad_inputs import wrong_bodies, wrong_parameters, wrong_values

EACH = 11
"""One of so many requests is sent."""


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[World, Running]]:
    file = str(Path(bad_input_world.__file__))
    with ramet_serve(
        folder, app=file, password_memory=8, body_limit=200_000, database_url="sqlite:///bad.db"
    ) as running:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port()}", timeout=60) as http:
            world = World(bad_input_world.app, http, f"sqlite:///{folder / 'bad.db'}")
            await world.settle()
            yield world, running


def everything(world: World) -> Iterator[Call]:
    for target in world.routes:
        if world.body(target) is not msgspec.UNSET:
            yield from wrong_values(world, target)
        if target.method in ("POST", "PUT", "PATCH"):
            yield from wrong_bodies(world, target)
        if target.kind == "list":
            yield from wrong_parameters(world, target)
        call = world.call(target)
        yield call._replace(method="TRACE")
        yield call._replace(path=call.path + "/%00")
        yield call._replace(headers={**call.headers, "accept": "text/html"})


def raw_requests(token: str) -> list[bytes]:
    """What no client library would send, to an address that changes something."""
    line = b"POST /api/v1/shelves HTTP/1.1\r\n"
    head = b"Host: a\r\nAuthorization: Bearer " + token.encode() + b"\r\nContent-Type: application/json\r\n"
    body = b'{"name": "raw"}'
    length = b"Content-Length: %d\r\n" % len(body)
    return [
        line + head.replace(b"Host: a\r\n", b"") + length + b"\r\n" + body,
        line + head + b"Authorization: Bearer x\r\n" + length + b"\r\n" + body,
        line + head + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n" + length + b"\r\n" + body,
        line + head + b"Content-Length: -1\r\n\r\n" + body,
        line + head + b"Content-Length: 5\r\nContent-Length: 15\r\n\r\n" + body,
        line + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
        line + head + length + b"X: \x00\r\n\r\n" + body,
        line.replace(b"shelves", b"shelves\xff") + head + length + b"\r\n" + body,
        line.replace(b"HTTP/1.1", b"HTTP/9.9") + head + length + b"\r\n" + body,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ]


async def test_a_sample_of_everything_wrong(tmp_path: Path) -> None:
    async with served(tmp_path) as (world, running):
        assert await refuse_all(world, islice(everything(world), 0, None, EACH)) > 200
        assert "Traceback" not in running.text


async def test_headers_that_are_too_large(tmp_path: Path) -> None:
    """Also on requests that were answered before in the same words, and of one whose body is all that is waited for."""
    large = ({"x-large": "y" * 32_768}, {f"x-{number}": "y" * 2_000 for number in range(20)})
    async with served(tmp_path) as (world, running):
        targets = {target.name: target for target in world.routes}
        for name in ("shelves.list", "books.get", "shelves.create"):
            call = world.call(targets[name])
            for _ in range(2):
                assert (await world.send(call)).status_code in (200, 201, 409)
            calls = (call._replace(headers={**call.headers, **headers}) for headers in large)
            assert await refuse_all(world, calls, 431) == len(large)
        health = Call("GET", "/health", headers=large[0])
        assert wrong(health, await world.send(health), 431) == ""
        assert "Traceback" not in running.text


async def test_requests_that_are_no_http(tmp_path: Path) -> None:
    async with served(tmp_path) as (world, running):
        before = world.stored()
        for sent in raw_requests(world.token):
            with Connection(running.port()) as connection:
                connection.send(sent)
                line = connection.file.readline()
                assert line == b"" or line.split()[1].startswith(b"4"), (sent, line)
        assert world.stored() == before
        assert (await world.send(Call("GET", "/api/v1/shelves"))).status_code == 200
        assert "Traceback" not in running.text
