"""Instances are killed while a transaction stays open: no change is skipped, no event lost, no hook left out."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ramet.settings import Settings
from tests import databases
from tests.conftest import Scale
from tests.postgres import Server
from tests.process.apps.letters import app
from tests.process.client import DEADLINE
from tests.process.loading import Follower
from tests.process.mortal import Caller, Instances, mortal

APP = str(Path(__file__).parent / "apps" / "letters.py")
LETTERS = "/api/v1/letters"
QUIET: dict[str, Any] = {"limits": False, "access_log": False, "password_memory": 8, "log_level": "error", "port": 0}
READERS = 6
LATE = "late"
TRANSACTION = """
WITH made AS (INSERT INTO letters (id, created_at, updated_at, version, key)
 VALUES ('late', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 1, 'late') RETURNING id)
INSERT INTO ramet_changes (at, resource, record_id, kind, version, record)
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 'Letter', id, 'created', 1, convert_to(
 '{"id":"late","owner":null,"created_at":"2026-01-01T00:00:00.000000Z","updated_at":"2026-01-01T00:00:00.000000Z",'
 '"version":1,"key":"late"}', 'UTF8') FROM made
"""


@contextmanager
def database() -> Iterator[Server]:
    found = Server()
    try:
        found.create()
        found.start()
        found.sql("CREATE DATABASE letters")
        databases.migrate(found.url("letters"), app)
        yield found
    finally:
        found.remove()


class Writers:
    """Clients that write until they are told to stop; `acknowledged` are the keys that an instance has confirmed."""

    def __init__(self, instances: Instances, count: int) -> None:
        self.acknowledged: list[str] = []
        self._instances = instances
        self._over = False
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(count)]

    async def _write(self, lane: int) -> None:
        caller, number = Caller(self._instances), 0
        try:
            while not self._over:
                number += 1
                slot = random.randrange(self._instances.count)
                answer = await caller.ask(slot, "POST", LETTERS, {"key": f"{lane}-{number}"})
                if answer is not None:
                    assert answer.status == 201, answer
                    self.acknowledged.append(f"{lane}-{number}")
                await asyncio.sleep(0.005)  # waits: so that there are kills between changes, not only among them
        finally:
            caller.close()

    async def stop(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


async def kill(instances: Instances, kills: int) -> None:
    """One after the other, at any moment of what they do."""
    for _ in range(kills):
        slot = random.randrange(instances.count)
        pid = await instances.ready(slot)
        await asyncio.sleep(random.uniform(0.0, 0.15))  # waits: a kill at any moment is what this is about
        instances.end(pid)
        await instances.dead(slot, pid)


async def told(instances: Instances) -> Counter[tuple[str, str]]:
    """How often the hook ran for which key and change."""
    caller, found, path = Caller(instances), Counter[tuple[str, str]](), "/api/v1/told?limit=100"
    try:
        while path:
            answer = await caller.ask(0, "GET", path)
            if answer is None:  # it has just been started again: whoever waits asks once more
                return Counter()
            document: Any = answer.json()
            found.update((item["key"], item["change"]) for item in document["items"])
            after = document["next"]
            path = f"/api/v1/told?limit=100&after={after}" if after else ""
    finally:
        caller.close()
    return found


@pytest.mark.soak
async def test_beside_a_long_transaction_nothing_is_skipped_lost_or_left_out(
    tmp_path: Path, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    kills = scale(short=12, full=400)
    with database() as server, psycopg.connect(server.url("letters")) as long:
        settings = Settings(database_url=server.url("letters"), **QUIET)
        with mortal(APP, tmp_path / "instances", [settings] * 3) as instances:
            await instances.start()
            readers = [Follower(instances.ports, "resource=letters") for _ in range(READERS)]
            try:
                async with asyncio.timeout(DEADLINE):
                    for reader in readers:
                        await reader.ready.wait()
                long.execute(TRANSACTION)
                writers = Writers(instances, 4)
                await kill(instances, kills)
                await writers.stop()
                assert all(LATE not in reader.seen for reader in readers)
                long.commit()
                wanted = {*writers.acknowledged, LATE}
                hooks = await all_told(instances, readers, wanted)
            finally:
                for reader in readers:
                    await reader.stop()
    assert [reader.reloads for reader in readers] == [0] * READERS
    twice = [key for reader in readers for key, ids in reader.ids.items() if len(set(ids)) > 1]
    assert twice == [], "what is told twice has one id"
    assert set(Counter(key for key, _ in hooks).values()) == {1}, "each try of a hook is for the same change"
    again = sum(reader.connections for reader in readers) - READERS
    assert again > 0
    record_property(
        "saw",
        f"{kills} kills beside an open transaction, {len(wanted)} changes, each told to all {READERS} subscribers, who"
        f" came back {again} times; hooks ran {hooks.total()} times for them",
    )


async def all_told(instances: Instances, readers: list[Follower], wanted: set[str]) -> Counter[tuple[str, str]]:
    """Waits until every subscriber and the hooks have been told of all; how often these ran."""
    async with asyncio.timeout(2 * DEADLINE):
        while not all(wanted <= reader.seen for reader in readers):  # noqa: ASYNC110 - other tasks fill them
            await asyncio.sleep(0.05)  # waits: for events, at most twice DEADLINE
        while True:
            hooks = await told(instances)
            if wanted <= {key for key, _ in hooks}:
                return hooks
            await asyncio.sleep(0.2)  # waits: for whoever takes the hooks over, likewise
