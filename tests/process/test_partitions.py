"""Hosts that hear nothing of each other: two instances, a primary, its replica and Redis, each in a network of its own.

Nothing older than the bound is ever answered, no request hangs, who cannot work says so, and all recovers by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ramet.app import App
from tests import databases
from tests.conftest import Scale
from tests.postgres import QUICK, Server
from tests.process.client import Answer, Client, connected, until
from tests.process.copies import BOUND, RESOURCES
from tests.process.harness import RAMET, Running, running
from tests.process.network import Network, impossible, left_over, network
from tests.redis import Server as Redis

APP = str(Path(__file__).parent / "apps" / "copies.py")
PORT = 8000
"""Of each instance: its network has nothing else."""
INSTANCES = ("one", "two")
HOSTS = (*INSTANCES, "primary", "replica", "redis")
PACE = 0.004
"""Seconds between two requests of one caller: what is tested is not speed."""
LONGEST = 20.0
"""Seconds that a request may take: a network that says nothing is given up after half of that, statements later."""
READY = 3.0
"""Seconds within which an instance says in the long form what it has lost."""
WINDOW = 1.0
"""Seconds for which what was reached has to last."""


class Case(NamedTuple):
    """Which hosts are cut off from each other, and what `one` and `two` then say of themselves."""

    cuts: tuple[tuple[str, str], ...]
    one: str
    two: str
    reads: bool
    """Whether reads through `one` go on."""
    writes: bool
    """Whether changes through `one` go on."""


WHOLE = Case((), "ready", "ready", reads=True, writes=True)
CASES = {
    "one from the primary": Case((("one", "primary"),), "not_ready", "ready", reads=True, writes=False),
    "one from the replica": Case((("one", "replica"),), "degraded", "ready", reads=True, writes=True),
    "one from Redis": Case((("one", "redis"),), "degraded", "ready", reads=True, writes=True),
    "one from both": Case((("one", "primary"), ("one", "replica")), "not_ready", "ready", reads=False, writes=False),
    "the replica from the primary": Case((("primary", "replica"),), "degraded", "degraded", reads=True, writes=True),
    "all from the primary": Case(
        tuple((host, "primary") for host in ("one", "two", "replica")),
        "not_ready",
        "not_ready",
        reads=False,
        writes=False,
    ),
}


class Place(NamedTuple):
    """The hosts, and the process of each instance."""

    network: Network
    processes: dict[str, Running]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if reason := impossible():
        pytest.skip(reason)
    with ExitStack() as stack:
        net = stack.enter_context(network(*HOSTS))

        primary = Server([*QUICK, "synchronous_commit=local", "wal_sender_timeout=2s"], host=net.address("primary"))
        primary.within = net.inside("primary", primary.user)
        stack.callback(primary.remove)
        primary.create()
        primary.start()
        primary.sql("CREATE DATABASE pages")
        databases.migrate(primary.url("pages"), App(resources=RESOURCES))
        patience = ("wal_receiver_timeout=2s", "wal_retrieve_retry_interval=500ms", "hot_standby_feedback=on")
        replica = primary.replica(*patience, host=net.address("replica"))
        replica.within = net.inside("replica", replica.user)
        stack.callback(replica.remove)
        replica.start()
        redis = Redis(host=net.address("redis"), within=net.inside("redis"))
        stack.callback(redis.remove)
        redis.start()
        urls = {
            "database_url": primary.url("pages"),
            "replica_urls": replica.url("pages"),
            "redis_url": redis.url,
            "statement_timeout": 60.0,
        }
        processes = {}
        for name in INSTANCES:
            command = [RAMET, "serve", APP, "--host", net.address(name), "--port", str(PORT)]
            folder = tmp_path_factory.mktemp(name)
            processes[name] = stack.enter_context(running(command, folder, net.inside(name), **urls))
        for process in processes.values():
            process.says("Serving http://")
        yield Place(net, processes)
    assert left_over() == []


class Load:
    """Callers of both instances. One changes two records through `two`; all others read them, or try to change others.

    `counts` are of answers since `fresh`, by instance, what was asked, and status.
    """

    def __init__(self, clients: dict[str, list[Client]]) -> None:
        self.clients = clients
        self.counts: Counter[tuple[str, str, int]] = Counter()
        self.total = 0
        self.stale = 0
        self.slowest = 0.0
        self.written = {path: deque([(0, time.monotonic(), "")]) for path in ("kept", "plain")}
        self.made: dict[str, str] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def check(self) -> None:
        """Raises what a caller has found wrong: they go on for ever otherwise."""
        for task in self.tasks:
            if task.done():
                task.result()

    def fresh(self) -> None:
        self.check()
        self.counts.clear()

    async def ask(
        self, who: str, which: int, what: str, method: str, path: str, body: object = None, position: str = ""
    ) -> Answer:
        began = time.monotonic()
        async with asyncio.timeout(LONGEST):
            headers = {"ramet-position": position} if position else {}
            answer = await self.clients[who][which].send(method, f"/api/v1/{path}", body, headers)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.counts[who, what, answer.status] += 1
        self.total += 1
        if answer.status not in (200, 201, 404):
            assert answer.status == 503, answer
            assert int(answer.header("retry-after")) >= 1
        await asyncio.sleep(PACE)  # waits: the pace of a caller
        return answer

    async def begin(self) -> None:
        for path in self.written:
            answer = await self.ask("two", 0, "write", "POST", path, {"title": "0"})
            assert answer.status == 201
            self.made[path] = answer.json()["id"]

    async def change(self) -> None:
        """Changes both records for ever, one number after the other."""
        number = 0
        while True:
            number += 1
            for path, written in self.written.items():
                answer = await self.ask("two", 0, "write", "PATCH", f"{path}/{self.made[path]}", {"title": str(number)})
                if answer.status == 200:
                    written.append((number, time.monotonic(), answer.header("ramet-position")))

    async def attempt(self) -> None:
        """Tries to change something through `one`, for ever."""
        while True:
            await self.ask("one", 0, "write", "POST", "plain", {"title": "other"})

    async def read(self, who: str, which: int) -> None:
        """Reads for ever, with and without a position."""
        while True:
            for path, written in self.written.items():
                began = time.monotonic()
                while len(written) > 1 and written[1][1] < began - BOUND:
                    written.popleft()
                target = f"{path}/{self.made[path]}"
                number, _, position = written[-1]
                if which % 2 and position:
                    answer = await self.ask(who, which, "known", "GET", target, position=position)
                else:
                    number = written[0][0] if written[0][1] < began - BOUND else -1
                    answer = await self.ask(who, which, "read", "GET", target)
                if answer.status != 503:
                    seen = int(answer.json()["title"]) if answer.status == 200 else -1
                    self.stale += seen < number
                    assert seen >= number, f"{who} answered {seen} of {path} after {number}"


@asynccontextmanager
async def loaded(place: Place) -> AsyncIterator[Load]:
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(connected(PORT, 5, place.network.address(name))) for name in INSTANCES
        }
        load = Load(clients)
        await until(lambda: says(load, "one", "ready"))
        await until(lambda: says(load, "two", "ready"))
        await load.begin()
        readers = [load.read(name, which) for name in INSTANCES for which in (1, 2, 3)]
        load.tasks = [asyncio.create_task(work) for work in (load.change(), load.attempt(), *readers)]
        try:
            yield load
            load.check()
        finally:
            for task in load.tasks:
                task.cancel()
            await asyncio.wait(load.tasks)


async def says(load: Load, who: str, status: str) -> bool:
    """Whether an instance says this of itself."""
    answer = await load.clients[who][4].ask("GET", "/health/ready")
    found: str = answer.json()["status"]
    assert answer.status == (503 if found == "not_ready" else 200)
    return found == status


async def seconds(condition: Callable[[], Awaitable[bool]]) -> float:
    """How long it takes until it holds."""
    began = time.monotonic()
    await until(condition)
    return time.monotonic() - began


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
async def test_whoever_is_cut_off_answers_nothing_old_says_so_and_recovers_by_itself(
    place: Place, name: str, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    case = CASES[name]
    flips, recoveries = [], []
    pids = {who: process.process.pid for who, process in place.processes.items()}
    async with loaded(place) as load:
        rounds = scale(short=1, full=10)
        for _ in range(rounds):
            with ExitStack() as cuts:
                for ends in case.cuts:
                    cuts.enter_context(place.network.cut(*ends))
                flips.append(await seconds(lambda: says(load, "one", case.one)))
                await until(lambda: says(load, "two", case.two))
                await settled(load, case)
            recoveries.append(await seconds(lambda: says(load, "one", "ready")))
            await until(lambda: says(load, "two", "ready"))
            await settled(load, WHOLE)
        assert load.stale == 0
        assert rounds == 1 or max(flips) < READY
    assert all(place.processes[who].process.poll() is None for who in pids), "no instance has ended"
    record_property(
        "saw",
        f"{load.total} requests, {load.stale} stale, slowest {load.slowest:.1f} s, readiness after"
        f" {max(flips):.1f} s at most, recovered after {max(recoveries):.1f} s at most",
    )


async def settled(load: Load, case: Case) -> None:
    """Waits for a window in which all that `one` answers is what it should be."""
    wanted = {("one", "read"): case.reads, ("one", "write"): case.writes}

    async def holds() -> bool:
        load.fresh()
        await asyncio.sleep(WINDOW)  # waits: for the length of the window
        for (who, what), goes in wanted.items():
            good = sum(load.counts[who, what, status] for status in (200, 201, 404))
            bad = load.counts[who, what, 503]
            if (bad if goes else good) or not (good or bad):
                return False
        return True

    await until(holds)
