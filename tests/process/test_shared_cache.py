"""Answers that instances leave for each other in a real Redis: never older than what their reader knows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ramet import Access, Resource, everyone, owner_only
from ramet.app import App
from ramet.cache.shared import SharedCache
from ramet.settings import Settings
from tests import databases
from tests.conftest import Scale
from tests.process.copies import until
from tests.redis import Cluster, Server
from tests.scenarios.core_world import Clock, World, person

A, B = person(1), person(2)


class Kept(Resource):
    title: str

    path = "kept"
    access = Access(read=everyone, create=everyone, update=everyone, delete=everyone)
    cache = 300


class Own(Resource):
    title: str

    path = "own"
    access = owner_only()
    cache = 300


RESOURCES = [Kept, Own]
MOST = 100
"""Turns after which what was to be seen is not there: how much is shared in one depends on the machine."""


@pytest.fixture
def database(tmp_path: Path) -> str:
    return databases.fresh(databases.named(tmp_path), App(resources=RESOURCES))


@asynccontextmanager
async def instance(database: str, redis: Server | Cluster, **more: Any) -> AsyncIterator[World]:
    app = App(resources=RESOURCES, clock=Clock())
    given = {
        "password_memory": 8,
        "log_level": "error",
        "limits": False,
        "redis_timeout": 5.0,
        "redis_url": redis.url,
        "max_staleness": 60.0,  # what is kept is served, however long a busy machine lets nobody look at the log
        **more,
    }
    app.configure(Settings.read({}, database_url=database, **given))
    await app.open()
    try:
        if isinstance(redis, Cluster) or redis.runs:
            await until(lambda: app.sharing.connection.available)
        yield World(app, Clock())
    finally:
        await app.shutdown()


def answers(world: World) -> SharedCache:
    found = world.app.sharing.answers
    assert found is not None
    return found


async def settle(*worlds: World) -> None:
    """What has been read is kept, and what has been committed is followed."""
    for world in worlds:
        await answers(world).stop()
        await world.app.feed.catch_up()


async def titles(world: World, path: str = "kept", caller: Any = A, position: str = "") -> tuple[list[str], str]:
    """What a list says, and where it came from."""
    headers = {"ramet-position": position} if position else {}
    answer = await world.ask("GET", f"/{path}?sort=id", caller, headers=headers)
    return [item["title"] for item in answer.json["items"]], answer.headers["ramet-cache"]


async def test_what_one_instance_has_read_the_others_need_not(database: str, redis: Server) -> None:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(instance(database, redis)) for _ in range(2)]
        await one.create("/kept", A, title="a")
        await settle(one, two)
        assert await titles(one) == (["a"], "miss")
        await settle(one)
        assert await titles(two) == (["a"], "shared")
        assert await titles(two) == (["a"], "near")
        three = await stack.enter_async_context(instance(database, redis))
        assert await titles(three) == (["a"], "shared")


async def test_after_a_write_nobody_who_knows_of_it_is_given_what_was_before(database: str, redis: Server) -> None:
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(instance(database, redis)) for _ in range(3)]
        record = await one.create("/kept", A, title="a")
        await settle(one, two, three)
        assert (await titles(one))[0] == ["a"]
        await settle(one)
        answer = await two.ask("PATCH", f"/kept/{record['id']}", A, {"title": "b"})
        assert await titles(two) == (["b"], "miss")
        await three.app.feed.catch_up()
        assert (await titles(three, position=answer.headers["ramet-position"]))[0] == ["b"]


async def test_what_only_one_may_see_is_given_to_that_one_alone(database: str, redis: Server) -> None:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(instance(database, redis)) for _ in range(2)]
        await one.create("/own", A, title="a")
        await settle(one, two)
        assert await titles(one, "own", A) == (["a"], "miss")
        await settle(one)
        assert await titles(two, "own", B) == ([], "miss")
        assert await titles(two, "own", A) == (["a"], "shared")


async def test_while_nobody_shares_reads_go_on_and_readiness_tells(database: str, redis: Server) -> None:
    async with instance(database, redis, redis_timeout=0.05) as world:
        await world.create("/kept", A, title="a")
        redis.freeze()
        try:
            for number in range(5):
                answer = await world.ask("GET", f"/kept?limit={number + 1}", A)
                assert (answer.status, answer.headers["ramet-cache"]) == (200, "miss")
            assert not world.app.sharing.connection.available
            status, found = await world.app.watch.health.ready()
            (part,) = [part for part in found["parts"] if part["name"] == "redis"]
            assert (status, part["ok"], part["required"]) == (200, False, False)
        finally:
            redis.thaw()


@pytest.mark.soak
async def test_whatever_becomes_of_redis_nothing_is_stale_and_nothing_fails(
    database: str, scale: Scale, record_property: Any
) -> None:
    """Stopped, flushed, frozen, started empty, or from a copy that is older than what was read from it."""
    chance = random.Random(7)
    server = Server("--appendonly", "no", "--dbfilename", "kept.rdb")
    stale = failures = reads = shared = 0
    try:
        server.start()
        async with AsyncExitStack() as stack:
            worlds = [await stack.enter_async_context(instance(database, server, redis_timeout=0.05)) for _ in range(3)]
            made = [await worlds[0].create("/kept", A, title="0") for _ in range(3)]
            position = ""
            for turn in range(MOST):
                if turn >= scale(short=12, full=50) and shared:
                    break
                await happen(server, chance.choice(["restart", "flush", "old copy", "freeze", "stop", "nothing"]))
                for step in range(6):
                    record, title = chance.choice(made), f"{turn}.{step}"
                    answer = await chance.choice(worlds).ask("PATCH", f"/kept/{record['id']}", A, {"title": title})
                    position = {"ramet-position": answer.headers["ramet-position"]}
                    for path in (f"/kept/{record['id']}", "/kept?sort=id"):
                        for world in chance.sample(worlds, 3):
                            for known in (False, True):
                                if known:
                                    await world.app.feed.catch_up()
                                answer = await world.ask("GET", path, A, headers=position, allow_failure=True)
                                reads += 1
                                failures += answer.status >= 500
                                stale += title not in answer.body.decode()
                                shared += answer.headers.get("ramet-cache") == "shared"
                            await answers(world).stop()
                server.thaw()
                if not server.runs:
                    server.start()
            assert (stale, failures) == (0, 0)
            assert shared > 0
            record_property("reads", reads)
            record_property("of them shared", shared)
    finally:
        server.remove()


async def happen(server: Server, what: str) -> None:
    """Something that befalls a Redis."""
    match what:
        case "restart":
            server.restart()
        case "flush":
            server.command("flushall")
        case "old copy":
            server.command("save")
            server.command("flushall")
            server.restart()
        case "freeze":
            server.freeze()
        case "stop":
            server.stop()
    await asyncio.sleep(0)


@pytest.mark.parametrize("part", ["holds", "apply"])
async def test_without_a_safeguard_something_old_is_given(
    database: str, redis: Server, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps show something old when answers are not judged, and when changes are not remembered."""

    async def seen() -> str:
        async with AsyncExitStack() as stack:
            one, two = [await stack.enter_async_context(instance(database, redis)) for _ in range(2)]
            address = f"/kept/{(await one.create('/kept', A, title='old'))['id']}"
            await settle(one, two)
            await one.ask("GET", address, A)
            await answers(one).stop()
            changed = await two.ask("PATCH", address, A, {"title": "new"})
            await two.app.feed.catch_up()
            answer = await two.ask("GET", address, A, headers={"ramet-position": changed.headers["ramet-position"]})
            return str(answer.json["title"])

    assert await seen() == "new"
    monkeypatch.setattr(SharedCache, part, lambda *_: True)
    assert await seen() == "old"
