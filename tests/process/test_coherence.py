"""Two workers on one file: what one has acknowledged, no read through either misses, though both serve from memory."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Scale
from tests.process.client import Answer, Client, spread
from tests.process.harness import ramet_serve
from tests.process.ledger import ENTRIES
from tests.process.people import CHEAP, SignIn, register, sign_in

ACTORS = 12
GROUPS = ("red", "green", "blue")
FEWEST, MOST = 5, 25
OWN = "/api/v1/own"


@pytest.mark.soak
async def test_20_000_mixed_operations_without_a_stale_read(tmp_path: Path, scale: Scale) -> None:
    operations = scale(short=20_000, full=200_000)
    with ramet_serve(tmp_path, "--workers", "2", **CHEAP) as server:
        async with spread(await asyncio.to_thread(server.port), ACTORS) as workers:
            first, second = workers.values()
            world = _World(operations)
            actors = []
            for number in range(ACTORS):
                email = await register(first[0], f"actor{number}")
                mine = await sign_in(second[0], email)
                actors.append(_Actor(world, (first[number], second[number]), mine, random.Random(number)))
            await asyncio.gather(*(actor.run() for actor in actors))
    done = world.counts
    assert sum(done[kind] for kind in ("read", "write")) >= operations
    assert done["write"] > operations / 5
    assert done["near", 0] > operations / 50
    assert done["near", 1] > operations / 50


class _World:
    """What all actors know of the shared records: the least that any later read must show."""

    def __init__(self, operations: int) -> None:
        self.left = operations
        self.counts: Counter[Any] = Counter()
        self.versions: dict[str, int] = {}
        self.groups: dict[str, list[str]] = {group: [] for group in GROUPS}
        self.leaving: set[str] = set()
        self.gone: list[str] = []
        self.created = 0


class _Actor:
    """A client with a connection to each worker. It writes through one and reads through either, at once."""

    def __init__(self, world: _World, clients: tuple[Client, Client], signed_in: SignIn, rng: random.Random) -> None:
        self._world = world
        self._clients = clients
        self._headers = signed_in.headers
        self._own: dict[str, int] = {}
        self._rng = rng

    async def run(self) -> None:
        while self._world.left > 0:
            group = self._rng.choice(GROUPS)
            roll = self._rng.random()
            if roll < 0.25:
                await self._write_shared(group)
            elif roll < 0.4:
                await self._write_own()
            elif roll < 0.6:
                await self._read_group(group)
            elif roll < 0.85:
                await self._read_shared(self._rng.choice([*self._world.versions, *self._world.gone[-5:], ""]))
            else:
                await self._read_own()

    async def _ask(self, kind: str, method: str, path: str, body: object = None, own: bool = False) -> Answer:
        self._world.left -= 1
        worker = self._rng.randrange(2)
        answer = await self._clients[worker].send(method, path, body, self._headers if own else None)
        self._world.counts[kind] += 1
        if answer.header("ramet-cache") == "near":
            self._world.counts["near", worker] += 1
        return answer

    async def _write_shared(self, group: str) -> None:
        world, records = self._world, self._world.groups[group]
        roll = self._rng.random()
        if len(records) < FEWEST or (roll < 0.15 and len(records) < MOST):
            world.created += 1
            answer = await self._ask("write", "POST", ENTRIES, {"key": f"k{world.created}", "group": group})
            assert answer.status == 201, answer
            record = answer.json()["id"]
            records.append(record)
            world.versions[record] = 1
        elif roll < 0.25:
            record = records.pop(self._rng.randrange(len(records)))
            world.leaving.add(record)
            answer = await self._ask("write", "DELETE", f"{ENTRIES}/{record}")
            assert answer.status == 204, answer
            del world.versions[record]
            world.gone.append(record)
        else:
            record = self._rng.choice(records)
            answer = await self._ask("write", "PATCH", f"{ENTRIES}/{record}", {"value": self._rng.randrange(100)})
            if answer.status == 404 and record in world.leaving:
                return
            assert answer.status == 200, answer
            if record in world.versions:
                world.versions[record] = max(world.versions[record], answer.json()["version"])
        await self._read_shared(record)
        await self._read_group(group)

    async def _read_shared(self, record: str) -> None:
        if not record:
            return
        least, gone = self._world.versions.get(record, 0), record in self._world.gone
        answer = await self._ask("read", "GET", f"{ENTRIES}/{record}")
        if gone:
            assert answer.status == 404, f"deleted, and still shown: {answer}"
        elif answer.status == 404:
            assert record in self._world.leaving, f"stored, and not shown: {record}"
        else:
            assert answer.json()["version"] >= least, f"older than version {least}: {answer}"

    async def _read_group(self, group: str) -> None:
        world = self._world
        least = {record: world.versions[record] for record in world.groups[group]}
        gone = set(world.gone)
        answer = await self._ask("read", "GET", f"{ENTRIES}?group={group}&limit=100")
        assert answer.status == 200, answer
        shown = {item["id"]: item["version"] for item in answer.json()["items"]}
        assert not gone & shown.keys(), "deleted, and still listed"
        for record, version in least.items():
            assert record in shown or record in world.leaving, f"stored, and not listed: {record}"
            assert shown.get(record, version) >= version, f"listed in an older version: {record}"

    async def _write_own(self) -> None:
        """Nobody else changes these, so what is read must be equal."""
        if len(self._own) < FEWEST:
            answer = await self._ask("write", "POST", OWN, {"value": 0}, own=True)
            self._own[answer.json()["id"]] = 0
        elif len(self._own) < MOST and self._rng.random() < 0.8:
            record, value = self._rng.choice(list(self._own)), self._rng.randrange(1_000_000)
            answer = await self._ask("write", "PATCH", f"{OWN}/{record}", {"value": value}, own=True)
            self._own[record] = value
        else:
            record = self._rng.choice(list(self._own))
            answer = await self._ask("write", "DELETE", f"{OWN}/{record}", own=True)
            del self._own[record]
        assert answer.status in (200, 201, 204), answer
        await self._read_own()

    async def _read_own(self) -> None:
        answer = await self._ask("read", "GET", f"{OWN}?limit=100", own=True)
        assert answer.status == 200, answer
        assert {item["id"]: item["value"] for item in answer.json()["items"]} == self._own
