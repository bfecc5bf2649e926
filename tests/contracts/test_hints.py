"""What every way to wake the followers of other instances must do. A further one is one more parameter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from ramet.app import App
from ramet.observe import Observer
from ramet.redis.connection import Connection
from ramet.redis.hints import RedisHints
from tests import databases
from tests.contracts.test_store import Place
from tests.redis import Server


class Hints(Protocol):
    """What both ways have in common."""

    async def hint(self) -> None: ...
    def listen(self, wake: Callable[[], None]) -> None: ...


async def by_database(stack: AsyncExitStack, url: str, woken: list[str], name: str) -> Hints:
    store: Any = await stack.enter_async_context(Place(url).store())
    store.changes.listen(lambda: woken.append(name))
    await store.changes.poll(None)
    hints: Hints = store.changes
    return hints


async def by_redis(stack: AsyncExitStack, url: str, woken: list[str], name: str) -> Hints:
    connection = Connection(url, Observer(), timeout=60, connections=2)
    await connection.start()
    stack.push_async_callback(connection.stop)
    hints = RedisHints(connection, "log")
    hints.listen(lambda: woken.append(name))
    return hints


@pytest.fixture(params=["postgresql", "redis"])
async def ways(
    request: pytest.FixtureRequest, tmp_path: Path, redis: Server
) -> AsyncIterator[tuple[list[Hints], list[str]]]:
    """The ways of three instances, and which of them were woken."""
    woken: list[str] = []
    make, url = by_redis, redis.url
    if request.param == "postgresql":
        make, url = by_database, databases.fresh(databases.named(tmp_path), App(resources=[]))
    async with AsyncExitStack() as stack:
        yield [await make(stack, url, woken, name) for name in ("one", "two", "three")], woken


async def test_a_hint_wakes_all_others_and_not_oneself(ways: tuple[list[Hints], list[str]]) -> None:
    hints, woken = ways
    for _ in range(2_000):
        await hints[0].hint()
        if {"two", "three"} <= set(woken):
            break
        await asyncio.sleep(0.01)  # waits: for who listens, at most 2,000 times
    assert set(woken) == {"two", "three"}
