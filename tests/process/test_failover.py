"""A primary dies under load and its replica takes over: nothing acknowledged is lost, and no instance is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from ramet import Access, Resource, everyone
from ramet.app import App
from ramet.settings import Settings
from tests import databases
from tests.postgres import QUICK, Server
from tests.scenarios.core_world import Clock, World, person

A = person(1)


class Page(Resource):
    title: str

    access = Access(read=everyone, create=everyone, update=everyone, delete=everyone)
    cache = 300


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    primary = Server([*QUICK, "synchronous_commit=remote_apply"])
    replica: Server | None = None
    try:
        primary.create()
        primary.start()
        primary.sql("CREATE DATABASE pages")
        databases.migrate(primary.url("pages"), App(resources=[Page]))
        replica = primary.replica()
        replica.start()
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        yield primary, replica
    finally:
        for server in (replica, primary):
            if server is not None:
                server.remove()


async def test_a_replica_that_takes_over_has_every_acknowledged_write(pair: tuple[Server, Server]) -> None:
    primary, replica = pair
    hosts = ",".join(urlsplit(server.url("pages")).netloc.partition("@")[2] for server in pair)
    acknowledged: list[str] = []
    loaded = asyncio.Event()
    down = asyncio.Event()
    back = asyncio.Event()

    async with AsyncExitStack() as stack:
        worlds = []
        for _ in range(2):
            app = App(resources=[Page], clock=Clock())
            url = f"postgresql://ramet@{hosts}/pages"
            app.configure(
                Settings.read(
                    {}, database_url=url, password_memory=8, log_level="error", limits=False, database_wait=2.0
                )
            )
            await app.open()
            stack.push_async_callback(app.shutdown)
            worlds.append(World(app, Clock()))

        async def write(world: World, name: str) -> None:
            number = 0
            while not back.is_set() or number < 20:
                number += 1
                title = f"{name}-{number}"
                answer = await world.ask("POST", "/pages", A, {"title": title}, allow_failure=True)
                if answer.status == 201:
                    acknowledged.append(title)
                    if len(acknowledged) == 50:
                        loaded.set()
                    if down.is_set():
                        back.set()
                else:
                    assert (answer.status, answer.json["code"]) in ((503, "unavailable"), (503, "overloaded"))
                    assert int(answer.headers["retry-after"]) >= 1
                    await asyncio.sleep(0)

        writers = [asyncio.create_task(write(world, f"{n}{m}")) for n, world in enumerate(worlds) for m in range(3)]
        stack.callback(lambda: [writer.cancel() for writer in writers])
        async with asyncio.timeout(30):
            await loaded.wait()
        resets: list[int] = []
        worlds[0].app.feed.subscribe(lambda changes: None, lambda: resets.append(len(acknowledged)))
        await asyncio.to_thread(primary.stop, "immediate")
        replica.sql("SELECT pg_promote()")
        down.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*writers)
        for _ in range(2_000):
            if resets and all(world.app.feed.sync() for world in worlds):
                break
            await asyncio.sleep(0.01)  # waits: for the followers to find the new primary, at most 2,000 times
        assert resets, "another history of the database: every copy is made anew"
        for world in worlds:
            stored = {page.title for page in await world.app.as_system().list(Page, limit=100_000)}
            assert set(acknowledged) - stored == set()
            assert world.app.feed.sync()
            assert (await world.app.watch.health.ready())[0] == 200
