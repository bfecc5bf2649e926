"""Reads on a database server: what is told of a slow one keeps nobody from an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ramet.data.engines import engine_part
from ramet.data.statement import Statement
from ramet.observe import Observer, StatementRun
from tests import databases

SLOW = Statement("SELECT 1", (), {})
URL = "postgresql://h/d"


class NoReplicas:
    """A server without any."""

    def choose(self, *, keeps: bool) -> None:
        return None


@pytest.fixture
async def pool() -> AsyncIterator[Any]:
    found = engine_part(URL, "pool").Pool(
        databases.server().url("postgres"), size=2, wait=30.0, limit=30.0, opened=lambda link: None
    )
    try:
        yield found
    finally:
        await found.close()


def reader(pool: Any, told: list[StatementRun]) -> Any:
    """One to whom every read is slow."""
    observer = Observer()
    observer.subscribe(StatementRun, told.append)
    report = engine_part(URL, "report").Report(observer, 0.0)
    return engine_part(URL, "reader").Reader(pool, NoReplicas(), None, report)


async def test_a_slow_read_is_told_with_its_plan(pool: Any) -> None:
    told: list[StatementRun] = []
    assert [tuple(row) for row in await reader(pool, told).fetch(SLOW, {})] == [(1,)]
    assert "Result" in told[0].plan


async def test_a_read_whose_plan_cannot_be_had_is_answered_all_the_same(pool: Any) -> None:
    told: list[StatementRun] = []
    unplanned = Statement("SHOW server_encoding", (), {})
    assert (await reader(pool, told).fetch(unplanned, {}))[0][0] == "UTF8"
    assert told[0].plan.startswith("no plan: ")


async def test_a_plan_takes_no_connection_that_somebody_waits_for(pool: Any) -> None:
    told: list[StatementRun] = []
    held = await pool.take()
    asked = [asyncio.create_task(reader(pool, told).fetch(SLOW, {})) for _ in range(4)]
    answers = await asyncio.gather(*asked)
    pool.give(held)
    assert [row[0][0] for row in answers] == [1] * 4
    assert [run.plan.startswith("no plan: ") for run in told].count(True) == 3, (
        "others waited for the one that was free"
    )


async def test_a_plan_that_does_not_come_is_given_up_and_told_so(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_part(URL, "reader"), "PLAN_SECONDS", 0.0)
    told: list[StatementRun] = []
    assert (await reader(pool, told).fetch(SLOW, {}))[0][0] == 1
    assert told[0].plan == "no plan: TimeoutError"
