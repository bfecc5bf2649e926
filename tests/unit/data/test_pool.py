"""Connections that end, or cannot be opened: who notices, who is told, and that nobody waits for nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from ramet.data.engines import engine_part
from ramet.errors import Problem
from tests import databases

URL = "postgresql://h/d"


def make(url: str, **more: Any) -> Any:
    given = {"size": 4, "wait": 5.0, "limit": 30.0, "opened": lambda link: None}
    return engine_part(URL, "pool").Pool(url, **{**given, **more})


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(5_000):
        if holds():
            return
        await asyncio.sleep(0.002)  # waits: for tasks, or a server, at most 5,000 times
    raise AssertionError("It did not happen within the deadline.")


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_the_server_has_ended_is_replaced_at_whatever_moment_it_is_used(turns: int) -> None:
    """Its farewell comes in before its end: between the two the connection is open, and of no use."""
    server = databases.server()
    pool = make(server.url("postgres"), clock=lambda: 0.0)  # it is found dead at once, however busy the machine is
    try:
        pid = (await pool.read("SELECT pg_backend_pid()", ()))[0][0]
        server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
        for _ in range(turns):
            await asyncio.sleep(0)
        assert (await pool.read("SELECT pg_backend_pid()", ()))[0][0] != pid
    finally:
        await pool.close()


async def test_while_none_can_be_opened_one_request_tries_and_the_others_are_told_at_once() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        pool = make(f"postgresql://ramet@127.0.0.1:{mute.getsockname()[1]}/d", wait=0.3)
        with pytest.raises(Problem) as raised:
            await pool.take()
        assert raised.value.kind.code == "unavailable"
        one = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        for _ in range(50):
            with pytest.raises(Problem) as raised:
                await pool.take()
            assert (raised.value.kind.code, raised.value.retry_after) == ("unavailable", 1)
        assert not one.done(), "they have not waited for it"
        with pytest.raises(Problem):
            await one
        pool.heard()
        both = [asyncio.create_task(pool.take()) for _ in range(2)]
        await until(lambda: pool._trying == 2)
        assert {type(it) for it in await asyncio.gather(*both, return_exceptions=True)} == {Problem}


async def test_who_waits_on_a_dropped_connection_hears_of_it_and_is_not_tried_anew_unless_asked() -> None:
    server = databases.server()
    pool = make(server.url("postgres"))
    try:
        slow = asyncio.create_task(pool.read("SELECT pg_sleep(60)", (), again=False))
        await until(lambda: len(pool._lent) == 1)
        pool.drop()
        with pytest.raises(Problem) as raised:
            await slow
        assert raised.value.kind.code == "unavailable"
        assert (await pool.read("SELECT 1", (), again=False))[0][0] == 1
    finally:
        await pool.close()


async def test_a_crowd_at_a_new_pool_waits_for_the_first_connections_and_all_are_opened_in_the_end() -> None:
    pool = make(databases.server().url("postgres"), size=8, wait=60.0)
    most = 0

    async def ask() -> None:
        nonlocal most
        asking = asyncio.ensure_future(pool.read("SELECT pg_advisory_xact_lock_shared(7)", ()))
        while not asking.done():
            most = max(most, pool._trying)
            await asyncio.sleep(0)
        await asking

    holder = make(databases.server().url("postgres"), size=1)
    link = await holder.take()
    try:
        await link.driver.execute("SELECT pg_advisory_lock(7)")
        async with asyncio.TaskGroup() as crowd:
            for _ in range(40):
                crowd.create_task(ask())
            await until(lambda: pool._count == 8 and not pool._trying)
            await link.driver.execute("SELECT pg_advisory_unlock(7)")
        assert (most, pool._count, len(pool._idle)) == (3, 8, 8)
    finally:
        holder.give(link)
        await holder.close()
        await pool.close()


async def test_a_crowd_at_a_server_that_does_not_answer_is_told_together() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        pool = make(f"postgresql://ramet@127.0.0.1:{mute.getsockname()[1]}/d", wait=0.3, size=8)
        crowd = [asyncio.create_task(pool.take()) for _ in range(40)]
        told = await asyncio.gather(*crowd, return_exceptions=True)
        assert {problem.kind.code for problem in told if isinstance(problem, Problem)} == {"unavailable"}
        assert (len([one for one in told if isinstance(one, Problem)]), pool._count, pool._trying) == (40, 0, 0)


async def test_a_warm_pool_opens_nothing_for_the_first_that_come() -> None:
    pool = make(databases.server().url("postgres"))
    try:
        await pool.warm(3)
        links = [await pool.take() for _ in range(3)]
        assert (pool._count, len(set(map(id, links)))) == (3, 3)
        for link in links:
            pool.give(link)
    finally:
        await pool.close()


async def test_who_is_called_and_goes_away_leaves_the_connection_to_the_next() -> None:
    pool = make(databases.server().url("postgres"), size=1)
    try:
        link = await pool.take()
        first, second = asyncio.create_task(pool.take()), asyncio.create_task(pool.take())
        await until(lambda: len(pool._waiters) == 2)
        pool.give(link)
        first.cancel()
        assert await asyncio.wait_for(second, 4) is link
        with pytest.raises(asyncio.CancelledError):
            await first
        pool.give(link)
    finally:
        await pool.close()
