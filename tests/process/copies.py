"""Instances of an application on a primary and its replica, for tests of what replicas may answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ramet import Access, Resource, everyone
from ramet.app import App
from ramet.settings import Settings
from tests import databases
from tests.postgres import QUICK, Server
from tests.process.harness import eventually
from tests.scenarios.core_world import Clock, World, person

A = person(1)
OPEN = Access(read=everyone, create=everyone, update=everyone, delete=everyone)


class Kept(Resource):
    title: str

    path = "kept"
    access = OPEN
    cache = 300


class Plain(Resource):
    title: str

    path = "plain"
    access = OPEN


RESOURCES = [Kept, Plain]
STALENESS = 1.0
"""Seconds: `max_staleness` of the instances here."""
BOUND = STALENESS + 0.5
"""The same, and what a busy machine adds to the moments that a test can see."""


class Pair:
    """A primary and its replica, with a database that has the schema."""

    def __init__(self) -> None:
        self.primary = Server([*QUICK, "synchronous_commit=local"])
        self.primary.create()
        self.primary.start()
        self.primary.sql("CREATE DATABASE pages")
        databases.migrate(self.primary.url("pages"), App(resources=RESOURCES))
        self.replica = self.primary.replica("hot_standby_feedback=on")
        self.replica.start()

    def remove(self) -> None:
        self.replica.remove()
        self.primary.remove()

    def delay(self, length: str) -> None:
        """How much later than the primary the replica shows a commit."""
        self.replica.sql(f"ALTER SYSTEM SET recovery_min_apply_delay = '{length}'")
        self.replica.sql("SELECT pg_reload_conf()")
        asked = "SELECT (extract(epoch FROM '{}'::interval) * 1000)::bigint = setting::bigint FROM pg_settings"
        asked = f"{asked.format(length)} WHERE name = 'recovery_min_apply_delay'"
        eventually(lambda: self.replica.sql(asked) == "t")  # its first process has read it, and has told the others to

    def pause(self) -> None:
        self.replica.sql("SELECT pg_wal_replay_pause()")

    def resume(self) -> None:
        self.replica.sql("SELECT pg_wal_replay_resume()")


@asynccontextmanager
async def instance(pair: Pair, **more: Any) -> AsyncIterator[World]:
    settings = {"replica_urls": (pair.replica.url("pages"),), "max_staleness": STALENESS, **more}
    app = App(resources=RESOURCES, clock=Clock())
    app.configure(
        Settings.read(
            {}, database_url=pair.primary.url("pages"), password_memory=8, log_level="error", limits=False, **settings
        )
    )
    await app.open()
    try:
        yield World(app, Clock())
    finally:
        await app.shutdown()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)  # waits: for a replica, at most 2,000 times
    raise AssertionError("It did not happen within the deadline.")


def served(world: World) -> list[float]:
    """When each of the reads began that replicas answer from here on, on the monotonic clock."""
    found: list[float] = []
    replicas: Any = world.app.store.replicas
    read = replicas.read

    async def counted(replica: Any, sql: str, arguments: Any, xid: int | None) -> Any:
        began = time.monotonic()
        rows = await read(replica, sql, arguments, xid)
        if rows is not None:
            found.append(began)
        return rows

    replicas.read = counted
    return found


def healthy(world: World) -> bool:
    """Whether a replica may be read at all."""
    return world.app.store.replicas.choose(keeps=False) is not None
