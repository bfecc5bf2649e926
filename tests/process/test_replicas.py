"""Reading from replicas of a database server: never older than what the caller has seen, nor than the bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from ramet.data.engines import engine_part
from tests.process.copies import A, Pair, healthy, instance, served, until
from tests.scenarios.core_world import World


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    found = Pair()
    try:
        yield found
    finally:
        found.remove()


async def titles(world: World, path: str, position: str = "") -> list[str]:
    headers = {"ramet-position": position} if position else {}
    answer = await world.ask("GET", f"/{path}?sort=id&limit=100", A, headers=headers)
    return [item["title"] for item in answer.json["items"]]


@pytest.mark.parametrize("path", ["kept", "plain"])
async def test_while_replay_stands_still_no_caller_with_a_position_reads_what_is_old(pair: Pair, path: str) -> None:
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(instance(pair, max_staleness=10.0)) for _ in range(2)]
        for world in worlds:
            await until(lambda world=world: healthy(world))
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


async def test_without_a_position_healthy_replicas_answer_and_lagging_ones_are_left_out(pair: Pair) -> None:
    async with instance(pair) as world:
        replicas = world.app.store.replicas
        await until(lambda: replicas.choose(keeps=False) is not None)
        counted = served(world)
        usable = answered = 0
        for _ in range(200):
            await until(lambda: healthy(world))
            before = len(counted)
            await titles(world, "plain")
            if healthy(world):  # a machine that holds it up for as long as the bound leaves it out
                usable += 1
                answered += len(counted) > before
            if usable == 50:
                break
        assert usable == 50
        assert answered >= 45
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
        for _ in range(20):
            await until(lambda: healthy(world))
            assert (await titles(world, "plain"))[-1] == "late"
            if counted:
                break
        assert counted


async def test_an_answer_is_kept_only_from_a_replica_that_holds_what_copies_hold(pair: Pair) -> None:
    async with instance(pair, max_staleness=10.0) as world:
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


async def test_a_primary_among_the_replicas_is_not_read_as_one_and_is_no_trouble(pair: Pair) -> None:
    """Servers that may take over from each other are all named as replicas."""
    urls = (pair.primary.url("pages"), pair.replica.url("pages"))
    async with instance(pair, replica_urls=urls) as world:
        replicas = world.app.store.replicas
        await until(lambda: replicas.all[0].leads and healthy(world))
        assert {replicas.choose(keeps=False).name for _ in range(10)} == {"replica 2"}
        assert (await world.app.watch.health.ready())[1]["status"] == "ready"
