"""What befalls the database, an instance or a read half-way: answers that are left in Redis never show it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ramet.app import App
from ramet.cache.shared import SharedCache
from ramet.changes.follower import Follower
from tests import databases, postgres
from tests.process.test_shared_cache import RESOURCES, A, answers, instance, settle
from tests.redis import Cluster, Server, free_port
from tests.scenarios.core_world import World


@pytest.fixture
def database(tmp_path: Path) -> str:
    return databases.fresh(databases.named(tmp_path), App(resources=RESOURCES))


@pytest.fixture
def own() -> Iterator[postgres.Server]:
    """A server that may be stopped and set back."""
    server = postgres.Server()
    try:
        server.create()
        server.start()
        server.sql("CREATE DATABASE pages")
        databases.migrate(server.url("pages"), App(resources=RESOURCES))
        yield server
    finally:
        server.remove()


async def title(world: World, record: str, position: str = "") -> tuple[str, str]:
    """What a record says, and where the answer came from."""
    headers = {"ramet-position": position} if position else {}
    answer = await world.ask("GET", f"/kept/{record}", A, headers=headers)
    return answer.json["title"], answer.headers["ramet-cache"]


async def change(world: World, record: str, value: str) -> str:
    """Writes; the position."""
    answer = await world.ask("PATCH", f"/kept/{record}", A, {"title": value})
    assert answer.status == 200
    return answer.headers["ramet-position"]


async def lost_future(own: postgres.Server, redis: Server) -> str:
    """What is read of a record when the database has been set back to before it was changed, and shared."""
    url, aside = own.url("pages"), own.folder / "aside"
    async with instance(url, redis) as world:
        record = str((await world.create("/kept", A, title="first"))["id"])
    own.stop()
    shutil.copytree(own.data, aside, copy_function=keep_owner)
    own.start()
    async with instance(url, redis) as world:
        for number in range(20):
            await change(world, record, f"lost {number}")
        await settle(world)
        await title(world, record)
        await answers(world).stop()
    own.stop()
    shutil.rmtree(own.data)
    shutil.copytree(aside, own.data, copy_function=keep_owner)
    for copied in (own.data, *own.data.rglob("*")):
        if own.user is not None:
            shutil.chown(copied, own.user, own.user)
    own.data.chmod(0o700)
    shutil.rmtree(aside)
    own.start()
    async with instance(url, redis) as world:
        return (await title(world, record))[0]


def keep_owner(source: str, target: str) -> str:
    return shutil.copy2(source, target)


async def test_a_database_that_was_set_back_is_not_answered_for_by_what_it_was(
    own: postgres.Server, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same timeline, and transaction ids that are given once more. Without the run in the stamp it would be."""
    assert await lost_future(own, redis) == "first"
    monkeypatch.setattr(Follower, "_run", property(lambda self: "", lambda self, run: None), raising=False)
    assert await lost_future(own, redis) == "lost 19"


async def test_a_copy_of_a_database_is_another_one(database: str, redis: Server) -> None:
    """It has the same incarnation and secret, and its server the same timeline and run."""
    name = database.rpartition("/")[2]
    async with instance(database, redis) as world:
        record = str((await world.create("/kept", A, title="both"))["id"])
    databases.server().sql(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(instance(database, redis))
        two = await stack.enter_async_context(instance(f"{database}_copy", redis))
        await change(one, record, "one")
        await settle(one, two)
        assert (await title(one, record))[0] == "one"
        await settle(one, two)
        assert await title(two, record) == ("both", "miss")


async def test_an_instance_that_does_not_reach_redis_writes_and_the_others_know(database: str, redis: Server) -> None:
    nowhere = Server(port=free_port())
    try:
        async with AsyncExitStack() as stack:
            one, two = [await stack.enter_async_context(instance(database, redis)) for _ in range(2)]
            cut = await stack.enter_async_context(instance(database, nowhere))
            assert not cut.app.sharing.connection.available
            record = str((await one.create("/kept", A, title="0"))["id"])
            for number in range(1, 20):
                await settle(one, two, cut)
                await title(one, record)
                await answers(one).stop()
                position = await change(cut, record, str(number))
                for world in (two, one, cut):
                    assert (await title(world, record, position))[0] == str(number)
                    await world.app.feed.catch_up()
                    assert (await title(world, record, position))[0] == str(number)
    finally:
        nowhere.remove()


async def overtaken(database: str, redis: Server) -> str:
    """What another reads when a change was committed and followed while the answer it is left was on its way."""
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(instance(database, redis)) for _ in range(2)]
        record = str((await one.create("/kept", A, title="old"))["id"])
        await settle(one, two)
        reads, begun, go = one.app.store.read, asyncio.Event(), asyncio.Event()

        async def slow(*arguments: Any, **more: Any) -> Any:
            rows = await reads(*arguments, **more)
            begun.set()
            await go.wait()
            return rows

        one.app.store.read = slow  # type: ignore[method-assign]  # a read that takes its time
        reading = asyncio.create_task(title(one, record))
        await begun.wait()
        position = await change(two, record, "new")
        for world in (one, two):
            await world.app.feed.catch_up()
        go.set()
        assert (await reading)[0] == "old"
        await answers(one).stop()
        return (await title(two, record, position))[0]


async def test_a_read_that_a_change_has_overtaken_is_left_to_nobody_as_new(
    database: str, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two keep it from that: it is not kept at all, and it would be kept with the stamp from before it was read."""
    assert await overtaken(database, redis) == "new"
    keep = SharedCache.keep

    def late(self: SharedCache, key: Any, stamp: Any, *more: Any) -> None:
        keep(self, key, self.stamp(), *more)

    with monkeypatch.context() as mutant:
        mutant.setattr("ramet.cache.near.NearCache.touched", lambda *_: False)
        assert await overtaken(database, redis) == "new"
        mutant.setattr(SharedCache, "keep", late)
        assert await overtaken(database, redis) == "old"


async def unread(database: str, redis: Server) -> str:
    """What a caller with a position is given by an instance that has not read so far in the log."""
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(instance(database, redis, follow_interval=60)) for _ in range(2)]
        record = str((await one.create("/kept", A, title="old"))["id"])
        await settle(one, two)
        await title(one, record)
        await answers(one).stop()
        looks = two.app.feed._log.poll
        held = asyncio.Event()

        async def poll(*arguments: Any) -> Any:
            await held.wait()
            return await looks(*arguments)

        two.app.feed._log.poll = poll  # it stands still, as it would be behind a slow line
        try:
            position = await change(one, record, "new")
            return (await title(two, record, position))[0]
        finally:
            held.set()


async def test_who_has_not_come_to_a_position_gives_nothing_that_was_shared(
    database: str, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await unread(database, redis) == "new"
    monkeypatch.setattr(Follower, "reached", lambda *_: True)
    assert await unread(database, redis) == "old"


async def test_while_a_cluster_loses_its_servers_and_has_them_again_nothing_is_stale_and_nothing_fails(
    database: str,
) -> None:
    cluster = Cluster()
    try:
        await asyncio.to_thread(cluster.start)
        async with AsyncExitStack() as stack:
            worlds = [await stack.enter_async_context(instance(database, cluster)) for _ in range(2)]
            record = str((await worlds[0].create("/kept", A, title="0"))["id"])
            for number, affected in enumerate((0, 1, 3, 0), 1):
                for server in cluster.servers[:affected]:
                    server.stop()
                for step in range(10):
                    value = f"{number}.{step}"
                    position = await change(worlds[step % 2], record, value)
                    for world in worlds:
                        assert (await title(world, record, position))[0] == value
                        await world.app.feed.catch_up()
                        assert (await title(world, record, position))[0] == value
                        await answers(world).stop()
                for server in cluster.servers[:affected]:
                    server.start()
    finally:
        cluster.remove()
