"""One caller, three instances: whatever is shared between them, the limit holds for their sum."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ramet import Resource, owner_only
from ramet.app import App
from ramet.settings import Settings
from tests import databases
from tests.conftest import Scale
from tests.redis import Server
from tests.scenarios.core_world import STRANGER, Clock, World, person

A = person(1)
LIMIT, WINDOW = 120, 3
ANSWERS = 5.0
"""Seconds that Redis has to answer: what one is told that it forsakes is not what is looked at here."""


class Task(Resource):
    title: str = ""

    path = "tasks"
    access = owner_only()


@pytest.fixture
def database(tmp_path: Path) -> str:
    return databases.fresh(databases.named(tmp_path), App(resources=[Task]))


@asynccontextmanager
async def fleet(database: str, count: int = 3, last: str = "", **more: Any) -> AsyncIterator[list[World]]:
    """As many instances; the last of them has another Redis, if one is given."""
    given = {"password_memory": 8, "log_level": "error", "limit_caller": f"{LIMIT}/{WINDOW}", **more}
    async with AsyncExitStack() as stack:
        worlds = []
        for number in range(count):
            if last and number == count - 1:
                given["redis_url"] = last
            app = App(resources=[Task], clock=Clock())
            app.configure(Settings.read({}, database_url=database, **given))
            await app.open()
            stack.push_async_callback(app.shutdown)
            worlds.append(World(app, Clock()))
        yield worlds


class Caller:
    """Asks all of a fleet as fast as it can, and notes when it was let through and what else it was told."""

    def __init__(self, worlds: list[World]) -> None:
        self.worlds = worlds
        self.admitted: list[tuple[float, float, World]] = []
        self.statuses: set[int] = set()

    async def ask(self, world: World) -> bool:
        asked = time.monotonic()
        answer = await world.ask("GET", "/tasks", A, allow_failure=True)
        self.statuses.add(answer.status)
        if answer.status == 200:
            self.admitted.append((asked, time.monotonic(), world))
        return answer.status == 200

    async def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds

        async def one(world: World) -> None:
            while time.monotonic() < ends:
                if not await self.ask(world):
                    await asyncio.sleep(0.005)  # waits: not to be refused all the time, until `ends`

        await asyncio.gather(*map(one, self.worlds))

    def most(self) -> int:
        """The most that was certainly let through within one window: asked for in it, and answered in it."""
        return max(counted.total() for _, counted in self.windows())

    def windows(self) -> Iterator[tuple[float, Counter[World]]]:
        """When each window begins, and how many each instance has certainly let through in it."""
        for begin, _, _ in self.admitted:
            yield (
                begin,
                Counter(
                    world for asked, answered, world in self.admitted if begin <= asked and answered < begin + WINDOW
                ),
            )


async def test_with_redis_the_sum_is_never_above_the_limit_and_nearly_all_of_it_is_usable(
    database: str, redis: Server, scale: Scale
) -> None:
    async with fleet(database, redis_url=redis.url, redis_timeout=ANSWERS) as worlds:
        caller = Caller(worlds)
        seconds = scale(short=4 * WINDOW, full=40 * WINDOW)
        await caller.run(seconds)
        assert caller.statuses == {200, 429}
        assert caller.most() <= LIMIT
        assert len(caller.admitted) >= 0.95 * LIMIT * (seconds / WINDOW - 1)


async def test_without_redis_the_limit_is_divided_by_the_instances_that_live(database: str) -> None:
    async with fleet(database) as worlds:
        for world in worlds:
            counters: Any = world.app.sharing.counters
            counters.instances = await world.app.store.present(counters._name)
        assert [world.app.sharing.counters.instances for world in worlds] == [3, 3, 3]
        caller = Caller(worlds)
        for world in worlds:
            while await caller.ask(world):
                pass
        assert len(caller.admitted) <= LIMIT
        assert len(caller.admitted) >= 0.9 * LIMIT
        assert caller.statuses == {200, 429}


@pytest.mark.parametrize("with_redis", [True, False])
async def test_signing_in_is_limited_to_the_unit_whatever_redis_does(
    database: str, redis: Server, with_redis: bool
) -> None:
    given = {"redis_url": redis.url} if with_redis else {}
    async with fleet(database, 4, limit_sign_in="6/3600", **given) as worlds:
        body = {"email": "ann@example.org", "password": "a wrong but long one"}
        answers = [await world.ask("POST", "/auth/sign-in", STRANGER, body, allow_failure=True) for world in 3 * worlds]
        assert [answer.status for answer in answers] == [401] * 6 + [429] * 6
        assert "limit:sign_in" not in redis.command("keys", "*")


async def test_one_that_is_gone_is_counted_no_more(database: str) -> None:
    async with fleet(database, 2) as worlds:
        store = worlds[0].app.store
        assert await store.present("a") == 3
        await worlds[1].app.store.fact("instance gone", lambda: "1")
        assert await store.present("b") == 4
        assert await store.present("b") == 4
        await store.present("a")
        assert "instance gone" not in str(databases.rows(database)["ramet_facts"])


async def test_while_redis_is_gone_nothing_fails_and_no_window_holds_more(database: str, redis: Server) -> None:
    """But the one in which it goes: who has used less than its share has its rest, whatever others have leased."""
    server = Server()
    try:
        server.start()
        async with fleet(database, redis_url=server.url, redis_timeout=ANSWERS) as worlds:
            for world in worlds:
                counters: Any = world.app.sharing.counters
                counters.instances = 3
            caller = Caller(worlds)
            running = asyncio.create_task(caller.run(5 * WINDOW))
            await asyncio.sleep(WINDOW)  # waits: for a window with it
            gone = time.monotonic()
            server.stop()
            await asyncio.sleep(2 * WINDOW)  # waits: for a window without it
            server.start()
            await running
            assert caller.statuses == {200, 429}
            for begin, counted in caller.windows():
                leased = [count for count in counted.values() if count > LIMIT // 3]
                assert sum(leased) <= LIMIT
                assert counted.total() <= LIMIT or begin <= gone < begin + WINDOW
    finally:
        server.remove()


async def test_in_the_window_in_which_redis_goes_the_others_have_their_shares(database: str) -> None:
    server = Server()
    try:
        server.start()
        given = {"redis_url": server.url, "redis_timeout": ANSWERS, "limit_caller": f"{LIMIT}/3600"}
        async with fleet(database, **given) as worlds:
            for world in worlds:
                counters: Any = world.app.sharing.counters
                counters.instances = 3
            caller = Caller(worlds)
            for _ in range(LIMIT // 2):
                assert await caller.ask(worlds[0])
            server.stop()
            for world in worlds:
                while await caller.ask(world):
                    pass
        counts = Counter(world for _, _, world in caller.admitted)
        assert counts[worlds[0]] < LIMIT, "what it has leased, and no share beside that"
        assert [counts[world] for world in worlds[1:]] == [LIMIT // 3] * 2
    finally:
        server.remove()


async def test_one_that_redis_does_not_answer_adds_no_more_than_its_share(database: str, redis: Server) -> None:
    nowhere = Server()
    try:
        async with fleet(database, redis_url=redis.url, redis_timeout=ANSWERS, last=nowhere.url) as worlds:
            for world in worlds:
                counters: Any = world.app.sharing.counters
                counters.instances = 3
            caller = Caller(worlds)
            await caller.run(2 * WINDOW)
            assert caller.statuses == {200, 429}
            assert LIMIT < caller.most() <= LIMIT + LIMIT // 3
    finally:
        nowhere.remove()


@pytest.mark.parametrize("shared", [True, False])
async def test_sign_ins_are_counted_one_by_one_over_all_instances(database: str, redis: Server, shared: bool) -> None:
    more = {"redis_url": redis.url} if shared else {}
    redis.command("flushall")
    async with fleet(database, limit_sign_in="6/60", **more) as worlds:
        for world in worlds:
            counters: Any = world.app.sharing.counters
            counters.instances = 3
        statuses = [
            (
                await worlds[number % 3].ask(
                    "POST", "/auth/sign-in", STRANGER, {"email": f"a{number}@example.com", "password": "wrong horse"}
                )
            ).status
            for number in range(12)
        ]
        assert statuses == [401] * 6 + [429] * 6
