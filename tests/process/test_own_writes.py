"""Pairs of a write and a read through random instances while a replica follows, lags, or stands still.

A read with the position of a write shows it. One without shows all that was acknowledged longer ago than the bound.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.conftest import Scale
from tests.process.copies import BOUND, STALENESS, A, Pair, healthy, instance, served, until
from tests.scenarios.core_world import World

WRITERS = 8
"""Pairs under way at a time, each on records of its own."""
LEAST = 3 * BOUND
"""Seconds that a run lasts at least: in a shorter one nothing could be older than the bound."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    found = Pair()
    try:
        yield found
    finally:
        found.remove()


class Run:
    """Counts what a run saw. `delay` is what the replica is behind at least, in seconds."""

    def __init__(self, worlds: list[World], delay: float, seed: str) -> None:
        self.worlds = worlds
        self.delay = delay
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.counted = {world: served(world) for world in worlds}
        self.oldest = 0.0

    async def pairs(self, count: int) -> None:
        """`count` pairs, and as many more as the time asks for."""
        began = time.monotonic()
        await asyncio.gather(*(self._pairs(count // WRITERS, began + LEAST) for _ in range(WRITERS)))

    async def _pairs(self, count: int, least: float) -> None:
        pick, worlds = self.chance.choice, self.worlds
        made = {path: await worlds[0].create(f"/{path}", A, title="0") for path in ("kept", "plain")}
        # Number, when its write began, and when it was acknowledged, of those a read may still have to show.
        written = {path: deque([(0, time.monotonic(), time.monotonic())]) for path in made}
        number = 0
        while number < count or time.monotonic() < least:
            number += 1
            path = pick(["kept", "plain"])
            address = f"/{path}/{made[path]['id']}"
            asked = time.monotonic()
            answer = await pick(worlds).ask("PATCH", address, A, {"title": str(number)})
            written[path].append((number, asked, time.monotonic()))
            position = {"ramet-position": answer.headers["ramet-position"]}
            answer = await pick(worlds).ask("GET", address, A, headers=position)
            assert answer.json["title"] == str(number), "a caller must see what it has written"
            self.counts["pairs"] += 1
            await self._read(path, address, written[path])

    async def _read(self, path: str, address: str, written: deque[tuple[int, float, float]]) -> None:
        """A read without a position."""
        world = self.chance.choice(self.worlds)
        usable = healthy(world)
        before, began = len(self.counted[world]), time.monotonic()
        answer = await world.ask("GET", address, A)
        ended = time.monotonic()
        while len(written) > 1 and written[1][2] < began - BOUND:
            written.popleft()
        seen = int(answer.json["title"]) if answer.status == 200 else -1
        due = written[0] if written[0][2] < began - BOUND else (-1, 0.0, 0.0)
        assert seen >= due[0], f"read {seen} after {due[0]} was acknowledged {began - due[2]:.3f} s before"
        missed = [acknowledged for which, _, acknowledged in written if which > seen and acknowledged < began]
        self.oldest = max(self.oldest, *(began - at for at in missed), 0.0)
        of_replica = [at for at in self.counted[world][before:] if at >= began]
        if path == "plain" and usable and healthy(world):
            self.counts["usable"] += 1
            # Others on the same instance may read beside it: what proves that it asked the primary is that none did.
            self.counts["primary"] += not of_replica
        lacking = any(at < began - BOUND and asked > ended - self.delay for _, asked, at in written)
        assert not (of_replica and lacking), "a replica that cannot have what is older than the bound must not answer"

    def __str__(self) -> str:
        replica = sum(map(len, self.counted.values()))
        return f"{dict(self.counts)}, {replica} reads by the replica, oldest answer {self.oldest * 1000:.0f} ms"


@pytest.mark.soak
@pytest.mark.parametrize("delay", [0.0, 0.1, 5.0, float("inf")], ids=["in step", "100 ms", "5 s", "paused"])
async def test_pairs_of_a_write_and_a_read_through_any_instance_are_never_stale(
    pair: Pair, delay: float, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    """With a position nothing older than the write is read; without one nothing older than the bound."""
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(instance(pair)) for _ in range(3)]
        for world in worlds:
            await until(lambda world=world: healthy(world))
        if delay == float("inf"):
            pair.pause()
            stack.callback(pair.resume)
        else:
            pair.delay(f"{delay * 1000:.0f}ms")
            stack.callback(pair.delay, "0")
        run = Run(worlds, delay, str(delay))
        began = time.monotonic()
        await run.pairs(scale(short=120, full=100_000))
        record_property("saw", f"{run}, {run.counts['pairs'] / (time.monotonic() - began):.0f} pairs a second")
        if delay < STALENESS:
            assert run.counts["primary"] <= run.counts["usable"] / 10, "healthy replicas answer nine reads of ten"
            for world in worlds:
                before = len(run.counted[world])
                for _ in range(20):
                    await until(lambda world=world: healthy(world))
                    await world.ask("GET", "/plain?limit=1", A)
                    if len(run.counted[world]) > before:
                        break
                assert len(run.counted[world]) > before, "a replica that has caught up answers"
