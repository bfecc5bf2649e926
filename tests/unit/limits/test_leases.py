"""Limits over many instances on a real Redis: never more than the limit in any window, and nearly all of it usable."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ramet.limits import leases, places
from ramet.limits.counters import LocalCounters
from ramet.limits.leases import LeasedCounter, Unleased
from ramet.limits.places import CELLS, Scripted
from ramet.limits.policy import Decision, Policy
from ramet.observe import Observer
from ramet.redis.connection import Connection
from tests.conftest import Scale
from tests.redis import Server

MS = 1_000_000
SECOND = 1_000 * MS


class Timed:
    """Scripts whose server says what time it is by a clock of the test, in microseconds: only the test changes them."""

    def __init__(self, connection: Connection) -> None:
        self.failure = connection.failure
        self.connection = connection
        self.now = 1_000_000_000_000
        self.lost = False
        self.calls = 0

    @property
    def available(self) -> bool:
        return not self.lost

    async def run(self, script: str, keys: Any, arguments: Any) -> Any:
        self.calls += 1
        if self.lost:
            raise self.failure("gone")
        timed = script.replace("redis.call('TIME')", f"{{'{self.now // 1_000_000}', '{self.now % 1_000_000}'}}")
        return await self.connection._client.eval(timed, len(keys), *keys, *arguments)


class Fleet:
    """Counters of one policy in several instances, each with a clock of its own that began at another time."""

    def __init__(self, timed: Timed, policy: Policy, instances: int, **more: Any) -> None:
        self.timed = timed
        self.policy = policy
        self.offsets = [random.Random(number).randrange(10**12, 10**13) for number in range(instances)]
        self.counters = [
            LeasedCounter(
                policy, LocalCounters(slots=64).open(policy), Scripted(timed), lambda: instances, self.clock(n), **more
            )
            for n in range(instances)
        ]
        self.admitted: list[int] = []

    def clock(self, number: int) -> Any:
        return lambda: self.offsets[number] + self.timed.now * 1_000

    async def ask(self, number: int, subject: str = "ada") -> Decision:
        """One request to one instance."""
        counter = self.counters[number]
        for _ in range(leases.SUBJECTS):
            try:
                decision = counter.take(subject, 1, self.clock(number)())
            except Unleased as need:
                await need.obtain()
                continue
            if decision.admitted:
                self.admitted.append(self.timed.now)
            return decision
        raise AssertionError("It never got an answer.")

    def most(self) -> int:
        """The most that was admitted within any one window."""
        span, found, first = self.policy.window * 1_000_000, 0, 0
        for last, at in enumerate(self.admitted):
            while self.admitted[first] <= at - span:
                first += 1
            found = max(found, last - first + 1)
        return found


@asynccontextmanager
async def connected(redis: Server) -> AsyncIterator[Connection]:
    redis.command("flushall")
    connection = Connection(redis.url, Observer(), timeout=5.0, connections=8)
    await connection.start()
    try:
        yield connection
    finally:
        await connection.stop()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("limit", [7, 100, 600])
async def test_no_window_holds_more_than_the_limit_and_nearly_all_of_it_is_used(
    redis: Server, limit: int, strict: bool, scale: Scale
) -> None:
    """A caller that asks three instances in turn, in bursts and steadily, takes whatever is free."""
    chance = random.Random(limit)
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", limit, 60), 3, strict=strict)
        windows = scale(short=4, full=40)
        end = fleet.timed.now + windows * 60_000_000
        began = fleet.timed.now
        while fleet.timed.now < end:
            for _ in range(chance.choice([1, 1, 5, 40])):
                await fleet.ask(chance.randrange(3))
            fleet.timed.now += chance.choice([50_000, 250_000, 250_000, 1_000_000])
            for counter in fleet.counters:
                await counter.sweep()
        assert fleet.most() <= limit
        spans = (fleet.timed.now - began) / 60_000_000
        assert len(fleet.admitted) >= 0.95 * limit * (spans - 1)
        assert len(fleet.admitted) >= limit  # all of it could come at once


async def test_a_busy_caller_costs_few_round_trips(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 60_000, 60), 1)
        for _ in range(40):
            for _ in range(200):
                assert (await fleet.ask(0)).admitted
            fleet.timed.now += 250_000
        assert len(fleet.admitted) == 8_000
        assert fleet.timed.calls < 8_000 / 50


async def test_what_is_told_of_what_remains_is_no_more_than_there_is(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 50, 60), 2)
        used = [0, 0]
        for number in range(50):
            decision = await fleet.ask(number % 2)
            used[number % 2] += decision.admitted
            assert decision.remaining <= 50 - used[number % 2]  # what the other has used is known by the next lease
        refused = await fleet.ask(0)
        assert not refused.admitted
        assert 0 < refused.reset_ns <= 62 * SECOND


async def test_what_a_lease_has_left_is_for_others_and_what_is_given_back_too(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 40, 60), 2)
        for _ in range(20):
            await fleet.ask(0)
        await fleet.counters[0].sweep(all=True)
        assert [(await fleet.ask(1)).admitted for _ in range(21)] == [True] * 20 + [False]
        fleet.counters[1].give_back("ada", fleet.clock(1)())
        fleet.timed.now += 200_000
        assert (await fleet.ask(1)).admitted


async def test_many_at_once_share_one_question(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 10_000, 60), 1)
        decisions = await asyncio.gather(*[fleet.ask(0) for _ in range(100)])
        assert all(decision.admitted for decision in decisions)
        assert fleet.timed.calls <= 10


@pytest.mark.parametrize("strict", [False, True])
async def test_what_is_leased_while_leases_are_looked_at_is_not_lost(redis: Server, strict: bool) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 6, 60), 1, strict=strict)
        timed, run = fleet.timed, fleet.timed.run

        async def looked_at(*asked: Any) -> Any:
            answer = await run(*asked)
            await fleet.counters[0].sweep()
            return answer

        timed.run = looked_at  # type: ignore[method-assign]  # the look comes before what was leased has arrived
        assert [(await fleet.ask(0)).admitted for _ in range(7)] == [True] * 6 + [False]
        assert timed.calls <= 7


async def test_alone_an_instance_hands_out_its_share_and_what_it_had_leased_counts(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 30, 60), 3)
        for _ in range(8):
            assert (await fleet.ask(0)).admitted
        fleet.timed.lost = True
        fleet.timed.now += 2_000_000
        taken = [sum([(await fleet.ask(number)).admitted for _ in range(40)]) for number in range(3)]
        assert taken == [2, 10, 10]
        assert fleet.most() == 30
        fleet.timed.lost = False
        assert not any([(await fleet.ask(number)).admitted for number in range(3) for _ in range(5)])
        for _ in range(10):
            for counter in fleet.counters:
                await counter.sweep()
            fleet.timed.now += 250_000
        assert not any([(await fleet.ask(number)).admitted for number in range(3) for _ in range(5)])
        fleet.timed.now += 62_000_000
        assert sum([(await fleet.ask(number % 3)).admitted for number in range(60)]) == 30
        assert fleet.most() == 30


async def test_a_counter_that_comes_back_empty_is_told_what_was_used(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 30, 60), 1)
        for _ in range(30):
            await fleet.ask(0)
        redis.command("flushall")
        fleet.timed.now += 10_000_000
        assert not (await fleet.ask(0)).admitted
        assert fleet.most() == 30


async def test_a_failure_is_waited_for_once_and_then_not_for_a_while(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 30, 60), 1)
        timed = fleet.timed

        async def fails(*_: object) -> None:
            timed.calls += 1
            raise timed.failure("too slow")

        timed.run = fails  # type: ignore[method-assign]  # only this one fails
        for _ in range(20):
            assert (await fleet.ask(0)).admitted
        assert timed.calls == 1


async def test_nothing_is_kept_for_longer_than_it_counts(redis: Server) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 30, 60), 1)
        for _ in range(3):
            await fleet.ask(0)
            fleet.timed.now += 90_000_000
        (key,) = redis.command("keys", "ramet:limit:*").split()
        assert "ada" not in key
        assert 0 < int(redis.command("pttl", key)) <= 62_000
        assert redis.command("hlen", key) == "1"


@pytest.mark.parametrize("mutant", ["a lease outlives its cell", "what is granted is not counted", "one cell too few"])
async def test_without_a_safeguard_some_window_holds_more(
    redis: Server, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(redis) as connection:
        fleet = Fleet(Timed(connection), Policy("caller", 60, 60), 3)
        if mutant == "a lease outlives its cell":
            take = places.TAKE.replace("local left = (cell + 1) * length - now", "local left = 30 * length")
            monkeypatch.setattr(places, "TAKE", take)
        elif mutant == "what is granted is not counted":
            monkeypatch.setattr(places, "TAKE", places.TAKE.replace("cell, granted)", "cell, 0)"))
        else:
            monkeypatch.setattr(places, "CELLS", CELLS // 2)
            for counter in fleet.counters:
                counter._length = 60_000_000 // CELLS
        for _ in range(3):
            for number in range(20):
                await fleet.ask(0 if number < 12 else 1)
            fleet.timed.now += 25_000_000
            for number in range(20):
                await fleet.ask(number % 2)
            fleet.timed.now += 36_500_000
            for number in range(70):
                await fleet.ask(number % 3)
            fleet.timed.now += 1_000_000
        assert fleet.most() > 60


async def test_three_instances_and_the_servers_own_clock(redis: Server, scale: Scale) -> None:
    """The same by real time: a limit of 200 in 2 seconds, asked by three counters as fast as they can."""
    policy = Policy("caller", 200, 2)
    async with connected(redis) as connection:
        counters = [
            LeasedCounter(
                policy, LocalCounters(slots=64).open(policy), Scripted(connection), lambda: 3, time.monotonic_ns
            )
            for _ in range(3)
        ]
        admitted: list[float] = []
        began = time.monotonic()
        seconds = scale(short=7, full=60)

        async def caller(counter: LeasedCounter) -> None:
            while time.monotonic() < began + seconds:
                try:
                    before = time.monotonic()
                    if counter.take("ada", 1, time.monotonic_ns()).admitted:
                        admitted.append(before)
                except Unleased as need:
                    await need.obtain()
                await asyncio.sleep(0)

        async def sweeper() -> None:
            while time.monotonic() < began + seconds:
                await asyncio.sleep(0.1)  # waits: for leases to end, until the test does
                for counter in counters:
                    await counter.sweep()

        await asyncio.gather(sweeper(), *map(caller, counters))
        admitted.sort()
        assert max(sum(at <= other < at + 2 for other in admitted) for at in admitted[::10]) <= 200
