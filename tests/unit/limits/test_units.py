"""Strict limits over many instances in a real database: exact whatever becomes of Redis, and as many as there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ramet.app import App
from ramet.data.postgres import units as statements
from ramet.data.postgres.pool import Pool
from ramet.data.postgres.units import PostgresUnits
from ramet.errors import Problem
from ramet.limits.counters import LocalCounters
from ramet.limits.leases import BACK, LeasedCounter, Unleased
from ramet.limits.places import CELLS, Listed
from ramet.limits.policy import Decision, Policy
from tests import databases
from tests.conftest import Scale

SECOND = 1_000_000_000
INSTANCES = 8


class Fleet:
    """More instances than the limit has units, on one database, which is told the time."""

    def __init__(self, pool: Pool, policy: Policy) -> None:
        self.units = PostgresUnits(pool)
        self.policy = policy
        self.now = 10**15
        self.tells = True
        self.counters = [self.instance() for _ in range(INSTANCES)]
        self.admitted: list[int] = []

    def instance(self) -> LeasedCounter:
        """One more, which knows of nothing."""
        local = LocalCounters(slots=64).open(self.policy)
        return LeasedCounter(
            self.policy, local, Listed(self.units), lambda: INSTANCES, lambda: self.now, namespace="log", strict=True
        )

    async def ask(self, number: int, subject: str = "ada") -> Decision:
        if self.tells:
            self.units.clock = f"{self.now // 1_000}::bigint"
        counter = self.counters[number]
        for _ in range(16):
            try:
                decision = counter.take(subject, 1, self.now)
            except Unleased as need:
                await need.obtain()
                continue
            if decision.admitted:
                self.admitted.append(self.now)
            return decision
        raise AssertionError("It never got an answer.")

    def most(self) -> int:
        """The most that was admitted within any one window."""
        span = self.policy.window * SECOND
        return max(sum(first <= at < first + span for at in self.admitted) for first in self.admitted)


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    url = databases.fresh(databases.named(tmp_path), App(resources=[]))
    found = Pool(url, size=4, wait=60, limit=60, opened=lambda link: None)
    yield found
    await found.close()


@pytest.fixture
def fleet(pool: Pool) -> Fleet:
    return Fleet(pool, Policy("sign_in", 5, 60))


async def test_no_window_holds_more_and_nearly_all_is_used(fleet: Fleet, scale: Scale) -> None:
    windows = scale(short=4, full=20)
    began, step = fleet.now, SECOND // 4
    for turn in range(windows * 240):
        fleet.now = began + turn * step
        await fleet.ask(turn * 5 % INSTANCES)
    assert fleet.most() == 5
    assert len(fleet.admitted) >= 0.95 * 5 * windows


async def test_all_at_once_get_as_many_as_there_are(fleet: Fleet) -> None:
    decisions = await asyncio.gather(*(fleet.ask(number % INSTANCES) for number in range(40)))
    assert sum(decision.admitted for decision in decisions) == 5
    refused = next(decision for decision in decisions if not decision.admitted)
    fleet.now += refused.reset_ns
    assert (await fleet.ask(0)).admitted


async def test_one_that_is_new_knows_what_the_others_have_used(fleet: Fleet) -> None:
    for _ in range(5):
        assert (await fleet.ask(0)).admitted
    fleet.counters.append(fleet.instance())
    assert not (await fleet.ask(INSTANCES)).admitted
    assert (await fleet.ask(INSTANCES, "bob")).remaining == 4


async def test_what_is_given_back_is_free_for_all(fleet: Fleet) -> None:
    for _ in range(5):
        await fleet.ask(0)
    for _ in range(2):
        fleet.counters[0].give_back("ada", fleet.now)
    await fleet.counters[0].sweep(all=True)
    assert [(await fleet.ask(1)).admitted for _ in range(3)] == [True, True, False]


async def test_while_the_database_is_away_each_gives_its_share_and_tells_of_it_later(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> Any:
        raise Problem("unavailable", "It is away.")

    monkeypatch.setattr(fleet.units, "_ask", fails)
    assert [(await fleet.ask(number)).admitted for number in (0, 0, 1)] == [True, False, True]
    monkeypatch.undo()
    fleet.now += BACK + 1
    for counter in fleet.counters:
        await counter.sweep()
    assert [(await fleet.ask(2)).admitted for _ in range(4)] == [True, True, True, False]


async def test_what_no_window_holds_is_forgotten(fleet: Fleet, pool: Pool) -> None:
    await fleet.ask(0)
    fleet.now += 55 * SECOND
    await fleet.ask(0, "bob")
    for subjects in (2, 1, 0):
        fleet.units.clock = f"{fleet.now // 1_000}::bigint"
        await fleet.units.tidy()
        assert len(await pool.read("SELECT name, cells FROM ramet_limits", ())) == subjects
        fleet.now += 10 * SECOND if subjects == 2 else 60 * SECOND
    fleet.now -= 40 * SECOND
    for turn in range(200):
        fleet.now += SECOND
        await fleet.ask(turn % INSTANCES)
    [[cells]] = await pool.read("SELECT cells FROM ramet_limits", ())
    assert len(cells.split()) <= CELLS + 2


@pytest.mark.parametrize("mutant", ["a cell too few", "what waited for the row is not looked at"])
async def test_without_a_safeguard_some_window_holds_more(
    fleet: Fleet, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mutant == "a cell too few":
        monkeypatch.setattr(statements, "_TAKE", statements._TAKE.replace("- $3 - 1", "- $3 + 1"))
        for late in (0, 59_500_000_000):
            fleet.now = 10**15 - 10**15 % (60 * SECOND) + SECOND - 1 + late
            for number in range(5):
                await fleet.ask(number)
        assert fleet.most() > 5
    else:
        monkeypatch.setattr(statements, "_TAKE", statements._TAKE.replace("<= $6\nRETURNING", "<= $6 + 3\nRETURNING"))
        decisions = await asyncio.gather(*(fleet.ask(number % INSTANCES) for number in range(40)))
        assert sum(decision.admitted for decision in decisions) > 5


async def test_the_time_is_the_servers(pool: Pool) -> None:
    fleet = Fleet(pool, Policy("sign_in", 2, 5))
    fleet.tells = False
    fleet.now = time.monotonic_ns()
    assert [(await fleet.ask(number)).admitted for number in range(3)] == [True, True, False]
    deadline = time.monotonic() + 30
    while not (await fleet.ask(3)).admitted:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)  # waits: for a window, at most 30 s
        fleet.now = time.monotonic_ns()
