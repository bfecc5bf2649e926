"""Behind PgBouncer in transaction mode, where each transaction may get another of the server's connections."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from ramet import Access, Context, Index, Resource, action, everyone
from ramet.app import App
from ramet.settings import Settings
from tests import databases
from tests.postgres import START_SECONDS, Server, free_port
from tests.scenarios.core_world import Clock, World, person

A = person(1)


class Page(Resource):
    title: str
    seen: int = 0

    access = Access(read=everyone, create=everyone, update=everyone, delete=everyone, actions={"see": everyone})
    cache = 300
    search = ("title",)

    @action
    async def see(self, ctx: Context) -> None:
        self.seen += 1


class Indexed(Resource):
    """The same table, with an index more."""

    title: str
    seen: int = 0

    path = "pages"
    access = Access(read=everyone)
    search = ("title",)
    indexes = [Index("seen")]


ROW = "(id, owner, created_at, updated_at, version, title, seen) VALUES ('x', NULL, now(), now(), 1, 'x', 0)"
CONFIGURATION = """
[databases]
pages = host=127.0.0.1 port={server} dbname=pages user=ramet
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
"""


@pytest.fixture
def pooler() -> Iterator[str]:
    """The address of a database behind a pooler with four connections."""
    server = Server()
    process: subprocess.Popen[bytes] | None = None
    try:
        server.create()
        server.start()
        server.sql("CREATE DATABASE pages")
        databases.migrate(server.url("pages"), App(resources=[Page]))
        port = free_port()
        file = server.folder / "pgbouncer.ini"
        file.write_text(CONFIGURATION.format(server=server.port, port=port))
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        with (server.folder / "pgbouncer.log").open("wb") as log:
            process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, user=server.user)
        deadline = time.monotonic() + START_SECONDS
        while server.run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), check=False):
            assert process.poll() is None, (server.folder / "pgbouncer.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)  # waits: for the pooler to answer, at most START_SECONDS
        yield f"postgresql://ramet@127.0.0.1:{port}/pages"
    finally:
        if process is not None:
            process.kill()
            process.wait()
        server.remove()


@asynccontextmanager
async def instance(url: str) -> AsyncIterator[World]:
    app = App(resources=[Page], clock=Clock())
    app.configure(Settings.read({}, database_url=url, password_memory=8, log_level="error", limits=False))
    await app.open()
    try:
        yield World(app, Clock())
    finally:
        await app.shutdown()


async def test_statements_and_transactions_of_many_share_few_connections(pooler: str) -> None:
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(instance(pooler)) for _ in range(3)]
        assert [world.app.store._pool.pooled for world in worlds] == [True] * 3  # type: ignore[attr-defined]  # of this engine
        made = await worlds[0].create("/pages", A, title="shared")

        async def work(number: int) -> None:
            world = worlds[number % 3]
            own = await world.create("/pages", A, title=f"page {number}")
            changed = await world.ask("PATCH", f"/pages/{own['id']}", A, {"title": f"changed {number}"})
            position = {"ramet-position": changed.headers["ramet-position"]}
            other = worlds[(number + 1) % 3]
            read = await other.ask("GET", f"/pages/{own['id']}", A, headers=position)
            assert read.json["title"] == f"changed {number}"
            assert (await world.ask("POST", f"/pages/{made['id']}/see", A, {})).status == 204
            found = await other.ask("GET", f"/pages?q=changed%20{number}", A, headers=position)
            assert own["id"] in [page["id"] for page in found.json["items"]]

        for start in range(0, 60, 12):
            await asyncio.gather(*[work(number) for number in range(start, start + 12)])
        seen = await worlds[1].app.as_system().get(Page, made["id"])
        assert (seen.seen, seen.version) == (60, 61)
        assert await worlds[0].app.store.lead("chore")
        assert not await worlds[1].app.store.lead("chore")


def test_a_migration_makes_indexes_of_tables_in_use(pooler: str) -> None:
    with psycopg.connect(pooler, prepare_threshold=None) as connection:
        connection.execute(f"INSERT INTO pages {ROW}")
    for declared, done in ((Indexed, "made"), (Page, "dropped")):
        told = databases.migrate(pooler, App(resources=[declared]))
        assert told == [f"index ix_pages_seen_id is {done}"]
        assert databases.migrate(pooler, App(resources=[declared])) == []


async def test_instances_follow_each_other_without_being_woken(pooler: str) -> None:
    async with instance(pooler) as one, instance(pooler) as two:
        for world in (one, two):
            await world.ask("GET", "/pages", A)
        await one.create("/pages", A, title="new")
        for _ in range(2_000):
            answer = await two.ask("GET", "/pages", A)
            if answer.json["items"]:
                break
            await asyncio.sleep(0.01)  # waits: for the next look at the log, at most 2,000 times
        assert [page["title"] for page in answer.json["items"]] == ["new"]
