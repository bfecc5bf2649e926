"""Reads: inline while they are short, in a thread under a bound of steps when they are not."""

from __future__ import annotations

import asyncio

import pytest

from ramet.data.sqlite.reader import WAITING
from ramet.data.statement import Statement
from ramet.errors import Problem
from ramet.observe import StatementRun

from .conftest import Opens

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"


async def test_a_costly_statement_moves_to_a_thread_and_stays_there(opens: Opens) -> None:
    async with opens() as it:
        statement = Statement(COUNT, ("top",), {})
        assert await it.store.fetch(statement, {"top": 10}) == [(10,)]
        assert not statement.costly
        assert await it.store.fetch(statement, {"top": 200_000}) == [(200_000,)]
        assert statement.costly


async def test_a_read_beyond_the_bound_of_steps_is_refused_and_others_go_on(opens: Opens) -> None:
    async with opens(read_steps=100_000) as it:
        statement = Statement(COUNT, ("top",), {})
        with pytest.raises(Problem) as refused:
            await it.store.fetch(statement, {"top": 10_000_000})
        assert refused.value.kind.code == "query_too_costly"
        small = await asyncio.gather(*[it.store.fetch(statement, {"top": 5}) for _ in range(6)])
        assert small == [[(5,)]] * 6


async def test_long_reads_wait_in_a_bounded_number_and_short_ones_pass_them(opens: Opens) -> None:
    async with opens() as it:
        long = Statement(COUNT, ("top",), {}, costly=True)
        asked = [asyncio.ensure_future(it.store.fetch(long, {"top": 50_000})) for _ in range(WAITING + 5)]
        short = Statement("SELECT 1", (), {})
        await asyncio.sleep(0)
        assert await it.store.fetch(short, {}) == [(1,)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer.kind.code for answer in answers if isinstance(answer, Problem)]
        assert refused == ["overloaded"] * 5
        assert answers.count([(50_000,)]) == WAITING
        assert await it.store.fetch(long, {"top": 5}) == [(5,)]


async def test_a_reading_connection_cannot_write(opens: Opens) -> None:
    async with opens() as it:
        with pytest.raises(Problem):
            await it.store.fetch(Statement("DELETE FROM ramet_facts", (), {}), {})


async def test_only_slow_reads_carry_their_plan(opens: Opens) -> None:
    async with opens(slow_query=60.0) as it:
        seen: list[StatementRun] = []
        it.observer.subscribe(StatementRun, seen.append)
        await it.store.fetch(Statement("SELECT 1", (), {}), {})
        assert [(event.sql, event.rows, event.plan) for event in seen] == [("SELECT 1", 1, "")]
