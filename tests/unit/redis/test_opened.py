"""Connections of the driver that it loses sight of are closed all the same."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from ramet.observe import Observer
from ramet.redis import connection as connections
from ramet.redis.connection import Connection, Unreachable
from tests.interrupted import sockets

ROUNDS = 60
PATIENT = 30.0


@pytest.fixture(params=["redis", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param).url)


async def use(connection: Connection, answered: list[bytes | None]) -> None:
    for _ in range(50):
        with suppress(Unreachable):
            await connection.put(b"{x}a", b"b", 1)
            answered.append(await connection.get(b"{x}a"))
        await asyncio.sleep(0.002)  # waits: for the next time that it is found


async def test_whatever_runs_out_of_its_time_or_is_given_up_nothing_stays_open(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that are too slow: looks at them, and calls, end at any moment, some after the way to them is closed."""
    chance = random.Random(1)
    before = sockets()
    monkeypatch.setattr(connections, "PROBE_PAUSE", 0.005)
    answered: list[bytes | None] = []
    for turn in range(ROUNDS):
        looking, calling = 0.0005 * 100 ** chance.random(), chance.uniform(0.0005, 0.02)
        if turn % 3 == 0:  # now and then all are in time, and only given up
            looking = calling = PATIENT
        monkeypatch.setattr(connections, "PROBE_TIMEOUT", looking)
        connection = Connection(url, Observer(), timeout=calling, connections=4)
        await connection.start()
        connection.subscribe("channel", lambda message: None)
        calls = [asyncio.create_task(use(connection, answered)) for _ in range(6)]
        await asyncio.wait(calls, timeout=chance.uniform(0, 0.1))
        if turn % 2:
            for call in calls:
                call.cancel()
        await connection.stop()
        assert not connection.available
        await asyncio.wait(calls)
        for _ in range(2_000):
            if sockets() <= before:
                break
            await asyncio.sleep(0.005)  # waits: for what is being closed, at most 2,000 times
        else:
            pytest.fail(f"Turn {turn}: {sockets() - before} stayed open.")
    assert answered, "nothing was ever in time"
