"""Reading from replicas of a database server: never older than what the caller has seen, nor than the bound."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ramet import Access, Resource, everyone
from ramet.app import App
from ramet.data.engines import engine_part
from ramet.settings import Settings
from tests import databases
from tests.conftest import Scale
from tests.postgres import Server
from tests.scenarios.core_world import Clock, World, person

A = person(1)
OPEN = Access(read=everyone, create=everyone, update=everyone, delete=everyone)


class Kept(Resource):
    title: str

    path = "kept"
    access = OPEN
    cache = 300


class Plain(Resource):
    title: str

    path = "plain"
    access = OPEN


RESOURCES = [Kept, Plain]
BOUND = 1.0 + 0.5
"""Seconds: `max_staleness`, and what a busy machine adds to the moments that a test can see."""


class Pair:
    """A primary and its replica, with a database that has the schema."""

    def __init__(self) -> None:
        self.primary = Server()
        self.primary.create()
        self.primary.start()
        self.primary.sql("CREATE DATABASE pages")
        databases.migrate(self.primary.url("pages"), App(resources=RESOURCES))
        self.replica = self.primary.replica("hot_standby_feedback=on")
        self.replica.start()

    def remove(self) -> None:
        self.replica.remove()
        self.primary.remove()

    def delay(self, length: str) -> None:
        """How much later than the primary the replica shows a commit."""
        self.replica.sql(f"ALTER SYSTEM SET recovery_min_apply_delay = '{length}'")
        self.replica.sql("SELECT pg_reload_conf()")

    def pause(self) -> None:
        self.replica.sql("SELECT pg_wal_replay_pause()")

    def resume(self) -> None:
        self.replica.sql("SELECT pg_wal_replay_resume()")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    found = Pair()
    try:
        yield found
    finally:
        found.remove()


@asynccontextmanager
async def instance(pair: Pair, **more: Any) -> AsyncIterator[World]:
    settings = {"replica_urls": (pair.replica.url("pages"),), "max_staleness": 1.0, **more}
    app = App(resources=RESOURCES, clock=Clock())
    app.configure(
        Settings.read(
            {}, database_url=pair.primary.url("pages"), password_memory=8, log_level="error", limits=False, **settings
        )
    )
    await app.open()
    try:
        yield World(app, Clock())
    finally:
        await app.shutdown()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)  # waits: for a replica, at most 2,000 times
    raise AssertionError("It did not happen within the deadline.")


def served(world: World) -> list[str]:
    """Counts the reads that replicas answer from here on."""
    found: list[str] = []
    replicas: Any = world.app.store.replicas
    read = replicas.read

    async def counted(replica: Any, sql: str, arguments: Any, xid: int | None) -> Any:
        rows = await read(replica, sql, arguments, xid)
        if rows is not None:
            found.append(sql)
        return rows

    replicas.read = counted
    return found


async def titles(world: World, path: str, position: str = "") -> list[str]:
    headers = {"ramet-position": position} if position else {}
    answer = await world.ask("GET", f"/{path}?sort=id&limit=100", A, headers=headers)
    return [item["title"] for item in answer.json["items"]]


@pytest.mark.parametrize("path", ["kept", "plain"])
async def test_while_replay_stands_still_no_caller_with_a_position_reads_what_is_old(pair: Pair, path: str) -> None:
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(instance(pair)) for _ in range(2)]
        for world in worlds:
            await until(lambda world=world: world.app.store.replicas.choose(keeps=False) is not None)
        before = len(await titles(worlds[0], path))
        pair.pause()
        try:
            made: list[str] = []
            for number in range(40):
                writer, reader = worlds[number % 2], worlds[(number // 2) % 2]
                answer = await writer.ask("POST", f"/{path}", A, {"title": f"p{number}"})
                made.append(f"p{number}")
                position = answer.headers["ramet-position"]
                assert (await titles(reader, path, position))[before:] == made
        finally:
            pair.resume()


@pytest.mark.soak
@pytest.mark.parametrize("delay", ["0", "100ms", "5s"])
async def test_pairs_of_a_write_and_a_read_through_any_instance_are_never_stale(
    pair: Pair, delay: str, scale: Scale
) -> None:
    """With a position nothing older than the write is read; without one nothing older than the bound."""
    pair.delay(delay)
    chance = random.Random(delay)
    try:
        async with AsyncExitStack() as stack:
            worlds = [await stack.enter_async_context(instance(pair)) for _ in range(3)]
            counts = [served(world) for world in worlds]
            made = {path: await worlds[0].create(f"/{path}", A, title="0") for path in ("kept", "plain")}
            written = {path: [(time.monotonic(), 0)] for path in made}
            for number in range(1, scale(short=120, full=30_000)):
                path = chance.choice(["kept", "plain"])
                writer, reader, other = (chance.choice(worlds) for _ in range(3))
                address = f"/{path}/{made[path]['id']}"
                answer = await writer.ask("PATCH", address, A, {"title": str(number)})
                written[path].append((time.monotonic(), number))
                position = {"ramet-position": answer.headers["ramet-position"]}
                assert (await reader.ask("GET", address, A, headers=position)).json["title"] == str(number)
                begun = time.monotonic()
                answer = await other.ask("GET", address, A)
                seen = int(answer.json["title"]) if answer.status == 200 else -1
                assert seen >= max((it for at, it in written[path] if at < begun - BOUND), default=-1)
            assert any(counts) == (delay != "5s")
    finally:
        pair.delay("0")


async def test_without_a_position_healthy_replicas_answer_and_lagging_ones_are_left_out(pair: Pair) -> None:
    async with instance(pair) as world:
        replicas = world.app.store.replicas
        await until(lambda: replicas.choose(keeps=False) is not None)
        counted = served(world)
        for _ in range(50):
            await titles(world, "plain")
        assert len(counted) >= 45
        pair.pause()
        try:
            answer = await world.ask("POST", "/plain", A, {"title": "late"})
            assert answer.status == 201
            await until(lambda: replicas.choose(keeps=False) is None)
            assert replicas.lag(replicas.all[0]) > 1.0
            counted.clear()
            assert (await titles(world, "plain"))[-1] == "late"
            assert counted == []
            ready = await world.app.watch.health.ready()
            (part,) = [part for part in ready[1]["parts"] if part["name"].startswith("replica")]
            assert (ready[0], part["ok"], part["required"]) == (200, False, False)
        finally:
            pair.resume()
        await until(lambda: replicas.choose(keeps=False) is not None)
        assert (await titles(world, "plain"))[-1] == "late"
        assert len(counted) == 1


async def test_an_answer_is_kept_only_from_a_replica_that_holds_what_copies_hold(pair: Pair) -> None:
    async with instance(pair) as world:
        replicas = world.app.store.replicas
        await until(lambda: replicas.choose(keeps=True) is not None)
        pair.pause()
        try:
            made = await world.create("/kept", A, title="one")
            assert replicas.choose(keeps=True) is None, "it has just written"
            for number in range(20):
                await world.ask("PATCH", f"/kept/{made['id']}", A, {"title": str(number)})
                assert (await world.ask("GET", f"/kept/{made['id']}", A)).json["title"] == str(number)
                assert (await world.ask("GET", f"/kept/{made['id']}", A)).json["title"] == str(number)
        finally:
            pair.resume()
        await until(lambda: replicas.choose(keeps=True) is not None)


async def test_a_replica_that_is_gone_is_left_out_and_found_again(pair: Pair) -> None:
    async with instance(pair) as world:
        replicas = world.app.store.replicas
        await until(lambda: replicas.choose(keeps=False) is not None)
        await asyncio.to_thread(pair.replica.stop, "immediate")
        try:
            for _ in range(10):
                await titles(world, "plain")
        finally:
            await asyncio.to_thread(pair.replica.start)
        await until(lambda: replicas.choose(keeps=False) is not None)


async def test_a_guard_by_the_log_row_is_right_where_a_snapshot_of_a_replica_is_not(pair: Pair) -> None:
    """On a replica `pg_visible_in_snapshot` takes an open transaction for an ended one once a later one has ended."""
    driver = engine_part(pair.primary.url("pages"), "connection")
    guarded = engine_part(pair.primary.url("pages"), "replicas").guarded("SELECT 1", 0)
    log = (
        "INSERT INTO ramet_changes (at, resource, record_id, kind, version) VALUES (0, 'X', 'x', 'created', 1)"
        " RETURNING xid::text::bigint"
    )
    one, two, copy = [
        await driver.open_link(url, timeout=5.0, limit=5.0)
        for url in (pair.primary.url("pages"), pair.primary.url("pages"), pair.replica.url("pages"))
    ]
    try:
        open_one = one.driver.transaction()
        await open_one.start()
        xid = await one.driver.fetchval(log)
        later = await two.driver.fetchval(log)

        async def shown(which: int) -> bool:
            return bool((await copy.driver.fetch(guarded, str(which)))[0][0])

        for _ in range(2_000):
            if await shown(later):
                break
            await asyncio.sleep(0.01)  # waits: for the replica to replay, at most 2,000 times
        assert await shown(later)
        assert not await shown(xid)
        wrong = "SELECT pg_visible_in_snapshot($1::text::xid8, pg_current_snapshot())"
        assert await copy.driver.fetchval(wrong, str(xid)), "then the simpler guard would do: use it"
        await open_one.commit()
    finally:
        for link in (one, two, copy):
            await link.driver.close()
