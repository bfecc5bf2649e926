"""A primary dies under load and its replica takes over: nothing acknowledged is lost, and no instance is restarted.

The first test looks into instances in this process, the second at processes that serve through one fail-over after the
other, each time to the server that was made from the one that had taken over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ramet.app import App
from ramet.settings import Settings
from tests import databases
from tests.conftest import Scale
from tests.postgres import QUICK, Server
from tests.process.client import Client, connected, until
from tests.process.copies import RESOURCES, A, Kept
from tests.process.harness import RAMET, Running, children, eventually, running
from tests.scenarios.core_world import Clock, World

APP = str(Path(__file__).parent / "apps" / "copies.py")
# The last: a replica looks again for its primary, and whether it is to be one, only so often; every 5 s if not told.
DURABLE = [*QUICK, "synchronous_commit=remote_apply", "wal_retrieve_retry_interval=200ms"]
BACK = 5.0
"""Seconds within which changes are taken again after the primary was killed."""


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    primary = Server(DURABLE)
    replica: Server | None = None
    try:
        primary.create()
        primary.start()
        primary.sql("CREATE DATABASE pages")
        databases.migrate(primary.url("pages"), App(resources=RESOURCES))
        replica = primary.replica()
        replica.start()
        wait_for_copies(primary)
        yield primary, replica
    finally:
        for server in (replica, primary):
            if server is not None:
                server.remove()


async def test_a_replica_that_takes_over_has_every_acknowledged_write(pair: tuple[Server, Server]) -> None:
    primary, replica = pair
    hosts = ",".join(urlsplit(server.url("pages")).netloc.partition("@")[2] for server in pair)
    acknowledged: list[str] = []
    loaded = asyncio.Event()
    down = asyncio.Event()
    back = asyncio.Event()

    async with AsyncExitStack() as stack:
        worlds = []
        for _ in range(2):
            app = App(resources=RESOURCES, clock=Clock())
            url = f"postgresql://ramet@{hosts}/pages"
            app.configure(
                Settings.read(
                    {}, database_url=url, password_memory=8, log_level="error", limits=False, database_wait=2.0
                )
            )
            await app.open()
            stack.push_async_callback(app.shutdown)
            worlds.append(World(app, Clock()))

        async def write(world: World, name: str) -> None:
            number = 0
            while not back.is_set() or number < 20:
                number += 1
                title = f"{name}-{number}"
                answer = await world.ask("POST", "/kept", A, {"title": title}, allow_failure=True)
                if answer.status == 201:
                    acknowledged.append(title)
                    if len(acknowledged) == 50:
                        loaded.set()
                    if down.is_set():
                        back.set()
                else:
                    assert (answer.status, answer.json["code"]) in ((503, "unavailable"), (503, "overloaded"))
                    assert int(answer.headers["retry-after"]) >= 1
                    await asyncio.sleep(0)

        writers = [asyncio.create_task(write(world, f"{n}{m}")) for n, world in enumerate(worlds) for m in range(3)]
        stack.callback(lambda: [writer.cancel() for writer in writers])
        async with asyncio.timeout(30):
            await loaded.wait()
        resets: list[int] = []
        worlds[0].app.feed.subscribe(lambda changes: None, lambda: resets.append(len(acknowledged)))
        await asyncio.to_thread(primary.stop, "immediate")
        replica.sql("SELECT pg_promote()")
        down.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*writers)
        for _ in range(2_000):
            if resets and all(world.app.feed.sync() for world in worlds):
                break
            await asyncio.sleep(0.01)  # waits: for the followers to find the new primary, at most 2,000 times
        assert resets, "another history of the database: every copy is made anew"
        for world in worlds:
            stored = {page.title for page in await world.app.as_system().list(Kept, limit=100_000)}
            assert set(acknowledged) - stored == set()
            await until(partial(well, world))


async def well(world: World) -> bool:
    """Whether an instance follows the log, and finds its parts well."""
    return world.app.feed.sync() and (await world.app.watch.health.ready())[0] == 200


class Load:
    """Clients that change records through each instance, one after the other, and what was acknowledged to them."""

    def __init__(self, clients: dict[str, list[Client]]) -> None:
        self.clients = clients
        self.acknowledged: list[str] = []
        self.back: dict[str, float] = {}
        self.refused = 0
        self.killed = float("inf")
        self._number = 0
        self.tasks: list[asyncio.Task[None]] = []

    def check(self, processes: dict[str, Running]) -> None:
        """Fails with what an instance has said when one of the clients was answered what it must not be."""
        for task in self.tasks:
            assert not task.done(), "\n".join([str(task.exception()), *(it.text[-4_000:] for it in processes.values())])

    async def write(self, name: str, client: Client) -> None:
        """Creates for ever. Every answer is a record, or says when to come again."""
        while True:
            self._number += 1
            title = f"{name} {self._number}"
            began = time.monotonic()
            answer = await client.ask("POST", "/api/v1/kept", {"title": title})
            if answer.status == 201:
                self.acknowledged.append(title)
                if began > self.killed:
                    self.back.setdefault(name, time.monotonic() - self.killed)
                position = {"ramet-position": answer.header("ramet-position")}
                shown = await client.ask("GET", f"/api/v1/kept/{answer.json()['id']}", headers=position)
                assert shown.status in (200, 503), "who has written sees it, or hears that it cannot be told now"
            else:
                assert (answer.status, answer.json()["code"]) in ((503, "unavailable"), (503, "overloaded"))
                assert int(answer.header("retry-after")) >= 1
                self.refused += 1

    async def lasts(self, count: int) -> None:
        """Returns when so many more were acknowledged."""
        more = len(self.acknowledged) + count

        async def holds() -> bool:
            return len(self.acknowledged) >= more

        await until(holds)

    async def recovered(self) -> bool:
        return self.back.keys() == self.clients.keys()


def follow(primary: Server, port: int) -> Server:
    """A new replica that every commit of the primary waits for."""
    replica = primary.replica(*DURABLE[len(QUICK) :], port=port)
    replica.start()
    wait_for_copies(primary)
    return replica


def wait_for_copies(primary: Server) -> None:
    """Lets every commit from here on wait for the replica. Who has just been told to may not have read it yet."""
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.sql("SELECT pg_reload_conf()")
    eventually(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1")
    primary.sql("CHECKPOINT")  # the process that does it tells the others, and has read its settings before it begins


def stored(server: Server) -> set[str]:
    return set(server.sql("SELECT title FROM kept", "pages").splitlines())


def workers(process: Running) -> list[int]:
    return [process.process.pid, *children(process.process.pid)]


@pytest.mark.soak
async def test_one_failover_after_the_other_loses_nothing_and_restarts_no_instance(
    tmp_path: Path, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    rounds = scale(short=2, full=20)
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(ExitStack())
        primary = Server(DURABLE)
        servers.callback(primary.remove)
        primary.create()
        primary.start()
        primary.sql("CREATE DATABASE pages")
        databases.migrate(primary.url("pages"), App(resources=RESOURCES))
        replica = follow(primary, 0)
        servers.callback(replica.remove)
        hosts = [urlsplit(server.url("pages")).netloc.partition("@")[2] for server in (primary, replica)]
        urls = {
            "database_url": f"postgresql://ramet@{','.join(hosts)}/pages",
            "replica_urls": ",".join(f"postgresql://ramet@{host}/pages" for host in hosts),
        }
        processes, clients = {}, {}
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            processes[name] = stack.enter_context(running([RAMET, "serve", APP, "--port", "0"], folder, **urls))
        for name, process in processes.items():
            clients[name] = await stack.enter_async_context(connected(process.port(), 3))
        before = {name: workers(process) for name, process in processes.items()}
        load = Load(clients)
        load.tasks = [asyncio.create_task(load.write(name, it)) for name, many in clients.items() for it in many]
        stack.callback(lambda: [task.cancel() for task in load.tasks])
        slowest = 0.0
        for number in range(rounds):
            await load.lasts(200)
            load.back.clear()
            load.killed = time.monotonic()
            primary.kill()
            dead, primary = primary, replica
            await asyncio.to_thread(primary.sql, "ALTER SYSTEM SET synchronous_standby_names = ''")
            await asyncio.to_thread(primary.sql, "SELECT pg_reload_conf(), pg_promote()")
            await until(load.recovered)
            slowest = max(slowest, *load.back.values())
            load.killed = float("inf")
            acknowledged = set(load.acknowledged)
            lost = acknowledged - await asyncio.to_thread(stored, primary)
            assert lost == set(), f"{len(lost)} acknowledged changes were lost in round {number + 1}"
            load.check(processes)
            await asyncio.to_thread(dead.remove)
            replica = await asyncio.to_thread(follow, primary, dead.port)
            servers.callback(replica.remove)
        await load.lasts(100)
        load.check(processes)
        assert {name: workers(process) for name, process in processes.items()} == before, "no instance was restarted"
        assert slowest < (BACK if rounds > 2 else 10 * BACK)
        record_property(
            "saw",
            f"{rounds} fail-overs, {len(load.acknowledged)} acknowledged and 0 of them lost,"
            f" {load.refused} refused, changes back after {slowest:.1f} s at most",
        )
