"""Many callers at once on three instances, while Redis is stopped, emptied, frozen and set back under them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ramet.app import App
from ramet.cache.shared import SharedCache
from ramet.changes.follower import Follower
from ramet.changes.snapshot import Snapshot
from tests import databases
from tests.conftest import Scale
from tests.process.copies import until
from tests.process.test_shared_cache import RESOURCES, A, answers, happen, instance
from tests.redis import Server
from tests.scenarios.core_world import World

STALENESS = 0.3
MOST = 60
"""Rounds after which what was to be seen is not there: how much is shared in one depends on the machine."""
HAPPENINGS = ("restart", "flush", "old copy", "freeze", "stop", "nothing")


class Storm:
    """Each record has one writer, who counts in its title; everybody reads all of them, anywhere."""

    def __init__(self, worlds: list[World], records: list[str], seed: int) -> None:
        self.worlds = worlds
        self.records = records
        self.chance = random.Random(seed)
        self.written = [[(time.monotonic(), 0)] for _ in records]
        self.positions = [""] * len(records)
        self.before_position: list[str] = []
        self.beyond_bound: list[str] = []
        self.failures: list[int] = []
        self.reads = self.shared = 0

    async def round(self, server: Server, what: str) -> None:
        """Something happens to the server while all write and read; then it is well again."""
        await until(lambda: all(world.app.sharing.connection.available for world in self.worlds))
        befallen = asyncio.create_task(asyncio.to_thread(asyncio.run, happen(server, what)))
        await asyncio.gather(*(self._work(number) for number in range(len(self.records))))
        await befallen
        await asyncio.gather(*(self._work(number) for number in range(len(self.records))))
        server.thaw()
        if not server.runs:
            await asyncio.to_thread(server.start)

    async def _work(self, number: int) -> None:
        for _ in range(2):
            value = self.written[number][-1][1] + 1
            world = self.chance.choice(self.worlds)
            answer = await world.ask("PATCH", f"/kept/{self.records[number]}", A, {"title": str(value)})
            assert answer.status == 200
            self.positions[number] = answer.headers["ramet-position"]
            self.written[number].append((time.monotonic(), value))
            for reader in self.chance.sample(self.worlds, len(self.worlds)):
                await self._read(reader, number)
                if self.chance.random() < 0.7:  # else it reads in the log when it does
                    await reader.app.feed.catch_up()
                for _ in range(2):
                    await self._read(reader, number)
                    await self._read(self.chance.choice(self.worlds), self.chance.randrange(len(self.records)))
                await answers(reader).stop()

    async def _read(self, world: World, number: int) -> None:
        record, position = self.records[number], self.chance.choice(["", self.positions[number]])
        last = self.written[number][-1][1]
        began = time.monotonic()
        path = self.chance.choice([f"/kept/{record}", "/kept?limit=50", "/kept?limit=51"])
        headers = {"ramet-position": position} if position else {}
        answer = await world.ask("GET", path, A, headers=headers, allow_failure=True)
        self.reads += 1
        if answer.status != 200:
            self.failures.append(answer.status)
            return
        self.shared += answer.headers["ramet-cache"] == "shared"
        items = answer.json["items"] if "limit" in path else [answer.json]
        (found,) = [int(item["title"]) for item in items if item["id"] == record]
        if position and found < last:
            self.before_position.append(f"{path}: {found} < {last} ({answer.headers['ramet-cache']})")
        least = max(value for at, value in self.written[number] if at <= began - STALENESS or value == 0)
        if found < least:
            self.beyond_bound.append(f"{path}: {found} < {least} ({answer.headers['ramet-cache']})")


async def storm(path: Path, rounds: int, enough: Callable[[Storm], bool], *, quiet: bool = False) -> Storm:
    """What was seen in so many rounds, and as many more, up to MOST, as it takes to see `enough`.

    With `quiet` nothing happens to Redis, and followers may be late: there is most to be read from it then.
    """
    database = databases.fresh(databases.named(path), App(resources=RESOURCES))
    server = Server("--appendonly", "no", "--dbfilename", "kept.rdb")
    try:
        server.start()
        async with AsyncExitStack() as stack:
            more: dict[str, Any] = {"redis_timeout": 0.25, "max_staleness": 60.0 if quiet else STALENESS}
            worlds = [await stack.enter_async_context(instance(database, server, **more)) for _ in range(3)]
            records = [str((await worlds[0].create("/kept", A, title="0"))["id"]) for _ in range(4)]
            seen = Storm(worlds, records, 7)
            for number in range(max(rounds, MOST)):
                if number >= rounds and enough(seen):
                    break
                await seen.round(server, "nothing" if quiet or not number else seen.chance.choice(HAPPENINGS))
                for world in worlds:
                    await answers(world).stop()
            return seen
    finally:
        server.remove()


@pytest.mark.soak
async def test_nobody_is_given_what_is_older_than_promised_and_nothing_fails(
    tmp_path: Path, scale: Scale, record_property: Any
) -> None:
    seen = await storm(tmp_path, scale(short=6, full=200), lambda seen: seen.shared > 0)
    assert (seen.before_position, seen.beyond_bound, seen.failures) == ([], [], [])
    assert seen.shared > 0
    record_property("reads", seen.reads)
    record_property("of them shared", seen.shared)


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (SharedCache, "holds", lambda *_: True),
        (SharedCache, "apply", lambda *_: None),
        (Snapshot, "shows", lambda self, xid: xid < self.high + 1_000),
        (Follower, "reached", lambda *_: True),
    ],
    ids=["judgement of stamps", "memory of what was touched", "transactions not shown", "position of the caller"],
)
async def test_the_storm_shows_each_safeguard_that_is_missing(
    tmp_path: Path, owner: type, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, broken)

    def stale(seen: Storm) -> bool:
        return any(found.endswith("(shared)") for found in seen.before_position)

    assert stale(await storm(tmp_path, 1, stale, quiet=True))
