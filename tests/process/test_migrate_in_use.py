"""`ramet migrate apply` on a table with many rows, while instances write to it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Scale
from tests.postgres import QUICK, Server
from tests.process.client import Client, connected, until
from tests.process.commands import environment
from tests.process.harness import DEADLINE, LEDGER, RAMET, ramet_serve
from tests.process.ledger import ENTRIES

INDEX = "ix_entries_group_id"
FILL = """\
INSERT INTO entries (id, owner, created_at, updated_at, version, key, "group", value, note)
SELECT 'row-' || n, NULL, now(), now(), 1, 'row ' || n, 'g' || n % 97, n, '' FROM generate_series(1, {}) n"""
BUILDS = "FROM pg_stat_activity WHERE query LIKE 'CREATE % CONCURRENTLY%' AND state = 'active'"
COMMAND = [RAMET, "migrate", "apply", "--app", LEDGER]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(QUICK)
    try:
        found.create()
        found.start()
        found.sql("CREATE DATABASE ledger")
        yield found
    finally:
        found.remove()


def sql(server: Server, statement: str) -> str:
    return server.sql(statement, "ledger")


@contextmanager
def applying(server: Server, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, under way."""
    started = subprocess.Popen(
        COMMAND,
        cwd=folder,
        env=environment(RAMET_DATABASE_URL=server.url("ledger")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


async def ended(process: subprocess.Popen[str]) -> str:
    """What a command said that did what it was asked."""
    said, _ = await asyncio.to_thread(process.communicate, timeout=DEADLINE)
    assert process.returncode == 0, said
    return said


async def prepared(server: Server, folder: Path, rows: int) -> None:
    """A table of so many rows that lacks an index."""
    with applying(server, folder) as first:
        assert "table entries is made" in await ended(first)
    sql(server, FILL.format(rows))
    lack(server)


def lack(server: Server) -> None:
    sql(server, f"DROP INDEX {INDEX}; UPDATE ramet_facts SET value = '' WHERE name = 'schema'")


def state(server: Server) -> str:
    """Whether the index is valid; empty when it is not there."""
    return sql(server, f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{INDEX}')")


def building(server: Server) -> str:
    return sql(server, "SELECT count(*) FROM pg_class WHERE relname LIKE '%building'")


async def test_writes_go_on_while_indexes_of_a_big_table_are_made(server: Server, tmp_path: Path, scale: Scale) -> None:
    await prepared(server, tmp_path, scale(short=50_000, full=2_000_000))
    with ramet_serve(tmp_path, database_url=server.url("ledger")) as process:
        async with connected(await asyncio.to_thread(process.port)) as (client,):
            wrote = 0
            with psycopg.connect(server.url("ledger")) as somebody, applying(server, tmp_path) as command:
                somebody.execute("UPDATE entries SET value = 0 WHERE id = 'row-1'")  # the index waits for its end

                async def builds() -> bool:
                    return await asyncio.to_thread(sql, server, f"SELECT count(*) {BUILDS}") == "1"

                await until(builds)
                for _ in range(200):
                    wrote += await create(client, wrote)
                assert await builds(), "all of that was written while the index was being made"
                somebody.commit()
                while command.poll() is None:
                    wrote += await create(client, wrote)
                assert await ended(command) == f"index {INDEX} is made\n"
            assert state(server) == "t"
            indexed = "SET enable_seqscan = off; SELECT count(*) FROM entries WHERE \"group\" = 'written'"
            assert sql(server, indexed) == str(wrote)


async def create(client: Client, number: int) -> int:
    answer = await client.ask("POST", ENTRIES, {"key": f"w{number}", "group": "written"})
    assert answer.status == 201, answer
    return 1


async def test_a_migration_killed_at_any_point_is_gone_on_with(server: Server, tmp_path: Path, scale: Scale) -> None:
    await prepared(server, tmp_path, scale(short=20_000, full=200_000))
    made = f"index {INDEX} is made\n"
    for round_ in range(scale(short=3, full=50)):
        with psycopg.connect(server.url("ledger")) as somebody, applying(server, tmp_path) as command:
            somebody.execute("UPDATE entries SET value = 0 WHERE id = 'row-1'")

            async def builds() -> bool:
                return await asyncio.to_thread(sql, server, f"SELECT count(*) {BUILDS}") == "1"

            await until(builds)
            command.kill()
            await asyncio.to_thread(command.wait)
            if round_ % 2:
                somebody.commit()  # or the server still makes it, for nobody, when the next one comes
            with applying(server, tmp_path) as other:
                if not round_ % 2:
                    await until(lambda: waits(server))
                    somebody.commit()
                assert await ended(other) == made
        assert (state(server), building(server)) == ("t", "0")
        with applying(server, tmp_path) as again:
            assert "Nothing to do" in await ended(again)
        lack(server)


async def waits(server: Server) -> bool:
    """Whether the next one has found what the first left, or its own making waits."""
    where = "FROM pg_stat_activity WHERE (query LIKE 'LOCK TABLE%' OR query LIKE '%CONCURRENTLY%') AND state = 'active'"
    return await asyncio.to_thread(sql, server, f"SELECT count(*) > 0 {where} AND query NOT LIKE '%pg_stat%'") == "t"
