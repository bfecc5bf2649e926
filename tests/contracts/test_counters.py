"""What every set of counters must do, wherever it counts. A further kind is one more parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ramet.app import App
from ramet.data.postgres.pool import Pool
from ramet.data.postgres.units import CLOCK, PostgresUnits
from ramet.limits.counters import Counter, Counters, InstanceCounters, Instances, LocalCounters
from ramet.limits.leases import LeasedCounter, Unleased
from ramet.limits.policy import Decision, Policy
from ramet.observe import Observer
from ramet.redis.connection import Connection
from tests import databases

SECOND = 1_000_000_000
START = 10**15


class Nobody:
    """Where no other instance has given a sign of life."""

    async def present(self, name: str) -> int:
        return 1


class Time:
    """What time it is, for who counts and, where there is one, for the server that is asked."""

    now = START

    def __call__(self) -> int:
        return self.now


class Timed:
    """Scripts on a real Redis, whose server is told the time: nothing else of them is changed."""

    available = True

    def __init__(self, connection: Connection, time: Time) -> None:
        self.failure = connection.failure
        self._connection = connection
        self._time = time

    async def run(self, script: str, keys: Any, arguments: Any) -> Any:
        seconds, rest = divmod(self._time.now, SECOND)
        timed = script.replace("redis.call('TIME')", f"{{'{seconds}', '{rest // 1_000}'}}")
        assert timed != script or "TIME" not in script
        return await self._connection.run(timed, keys, arguments)


class TimedUnits(PostgresUnits):
    """Counters in a real database, whose server is told the time."""

    def __init__(self, pool: Pool, time: Time) -> None:
        super().__init__(pool)
        self._time = time

    @property
    def clock(self) -> str:
        return f"{self._time.now // 1_000}::bigint"

    @clock.setter
    def clock(self, clock: str) -> None:
        assert clock == CLOCK


class Bench:
    """Counters of one kind and their time. `take` asks elsewhere first where that must be."""

    def __init__(self, counters: Counters, time: Time) -> None:
        self.counters = counters
        self._time = time

    async def take(self, counter: Counter, subject: str, cost: int, now: int = START) -> Decision:
        self._time.now = now
        try:
            return counter.take(subject, cost, now)
        except Unleased as unleased:
            await unleased.obtain()
            return counter.take(subject, cost, now)


@pytest.fixture(params=["memory", "shared", "instances", "redis", "database"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Counters of each kind that there is."""
    time = Time()
    local = LocalCounters(tmp_path if request.param == "shared" else None, slots=64)
    if request.param == "instances":
        yield Bench(InstanceCounters(local, Instances(None, Nobody(), "log", time), "one"), time)
    elif request.param == "redis":
        server = request.getfixturevalue("redis")
        server.command("flushall")
        connection = Connection(server.url, Observer(), timeout=60, connections=2)
        await connection.start()
        try:
            yield Bench(InstanceCounters(local, Instances(Timed(connection, time), Nobody(), "log", time), "one"), time)
        finally:
            await connection.stop()
    elif request.param == "database":
        name = databases.named(tmp_path)
        url = databases.fresh(name, App(resources=[]))
        pool = Pool(url, size=2, wait=60, limit=60, opened=lambda link: None)
        try:
            units = TimedUnits(pool, time)
            yield Bench(Strict(local, Instances(None, Nobody(), "log", time, units), "one"), time)
        finally:
            await pool.close()
    else:
        yield Bench(local, time)


class Strict(InstanceCounters):
    """All of whose counters are strict, as those of signing in are."""

    def open(self, policy: Policy, *, strict: bool = False) -> LeasedCounter:
        return super().open(policy, strict=True)


@pytest.fixture
async def counter(bench: Bench) -> AsyncIterator[Counter]:
    opened = bench.counters.open(Policy("caller", 5, 60))
    yield opened
    opened.close()


async def test_as_many_are_admitted_as_the_policy_says_and_each_subject_by_itself(
    bench: Bench, counter: Counter
) -> None:
    assert [(await bench.take(counter, "a", 1)).admitted for _ in range(7)] == [True] * 5 + [False] * 2
    assert (await bench.take(counter, "b", 5)).admitted
    assert not (await bench.take(counter, "b", 1)).admitted


async def test_what_is_refused_costs_nothing_and_all_is_free_again_after_the_window(
    bench: Bench, counter: Counter
) -> None:
    assert (await bench.take(counter, "a", 5)).admitted
    refused = await bench.take(counter, "a", 1)
    assert not refused.admitted
    assert refused.reset_ns > 0
    later = START + 60 * SECOND + 60 * SECOND // 20 + 1
    assert (await bench.take(counter, "a", 5, later)).admitted


async def test_looking_uses_nothing_and_giving_back_makes_room(bench: Bench, counter: Counter) -> None:
    for _ in range(3):
        assert counter.peek("a", START).remaining == 5
    await bench.take(counter, "a", 5)
    assert counter.peek("a", START).remaining == 0
    counter.give_back("a", START)
    assert (await bench.take(counter, "a", 1)).admitted
    assert not (await bench.take(counter, "a", 1)).admitted


async def test_policies_do_not_share_their_subjects(bench: Bench) -> None:
    one, two = bench.counters.open(Policy("address", 1, 60)), bench.counters.open(Policy("sign_in", 1, 60))
    assert (await bench.take(one, "a", 1)).admitted
    assert (await bench.take(two, "a", 1)).admitted
    assert not (await bench.take(one, "a", 1)).admitted
    assert one.policy.name == "address"
    one.close()
    two.close()


async def test_strict_and_lenient_counters_keep_the_same_limit(bench: Bench) -> None:
    strict = bench.counters.open(Policy("account", 3, 60), strict=True)
    assert [(await bench.take(strict, "a", 1)).admitted for _ in range(4)] == [True] * 3 + [False]
    assert strict.charge("b", 3, START).admitted
    strict.close()
