"""A database that goes silent while an application is put together: it waits, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ramet import Resource, owner_only
from ramet.app import App
from ramet.data.postgres.log import PostgresChanges
from ramet.errors import Problem
from ramet.identity.service import Identity
from ramet.settings import Settings
from tests import databases
from tests.process.client import until
from tests.redis import Server
from tests.scenarios.core_world import STRANGER, Clock, World


class Task(Resource):
    title: str = ""

    path = "tasks"
    access = owner_only()


def tasks() -> set[str]:
    """What runs beside the test."""
    return {
        name
        for task in asyncio.all_tasks() - {asyncio.current_task()}
        if not (name := task.get_name()).startswith("Task-")
    }


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [(PostgresChanges, "_connected", TimeoutError()), (Identity, "rotate_keys", Problem("unavailable"))],
    ids=["the log", "signing keys"],
)
async def test_a_database_that_goes_silent_during_the_start_is_waited_for(
    tmp_path: Path, redis: Server, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: Exception
) -> None:
    found = getattr(owner, name)
    tried: list[set[str]] = []

    async def silent(*given: Any) -> Any:
        if len(tried) < 2:
            tried.append(tasks())
            raise error
        return await found(*given)

    app = App(resources=[Task], clock=Clock())
    url = databases.fresh(databases.named(tmp_path), app)
    app.configure(Settings.read({}, database_url=url, redis_url=redis.url, password_memory=8, log_level="error"))
    monkeypatch.setattr(owner, name, silent)
    world = World(app, Clock())
    await app.startup()
    try:
        refused = await world.ask("GET", "/tasks", STRANGER, allow_failure=True)
        assert (refused.status, refused.code) == (503, "unavailable")

        async def opened() -> bool:
            return (await world.ask("GET", "/tasks", STRANGER, allow_failure=True)).status == 401

        await until(opened)
        assert tried[0] == tried[1] - {"wait for the database"}  # the first try has left nothing that runs
    finally:
        await app.shutdown()
    assert tasks() == set()
