"""A start that is given up at whatever moment, as by whoever stops a process that is starting: nothing stays open."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ramet import Resource, owner_only
from ramet.app import App
from ramet.errors import Problem
from ramet.settings import Settings
from tests import databases
from tests.interrupted import interrupted, sockets
from tests.process.client import until
from tests.redis import Server
from tests.scenarios.core_world import Clock

MOST = 1_000


class Task(Resource):
    title: str = ""

    path = "tasks"
    access = owner_only()


async def test_a_start_that_is_given_up_at_whatever_moment_leaves_nothing_open(tmp_path: Path, redis: Server) -> None:
    url = databases.fresh(databases.named(tmp_path), App(resources=[Task]))
    before = sockets()

    async def closed() -> bool:
        return sockets() <= before  # the driver closes in tasks of its own what it has asked to cancel

    moment, again = 1, 0
    while moment < MOST:
        app = App(resources=[Task], clock=Clock())
        app.configure(Settings.read({}, database_url=url, redis_url=redis.url, password_memory=8, log_level="error"))
        start = asyncio.ensure_future(interrupted(app.open(), moment))
        await asyncio.wait([start])
        late = None if start.cancelled() else start.exception()
        if not start.cancelled() and late is None:
            await app.shutdown()
            await until(closed)
            break
        if isinstance(late, Exception) and not (isinstance(late, Problem) and late.kind.code == "unavailable"):
            raise late
        await until(closed)
        again += late is not None
        assert again < 50, "it is never cancelled at this moment"
        moment += late is None  # who was late is tried again, as a server does that waits for its database
    assert 10 < moment < MOST - 1
