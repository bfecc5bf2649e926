"""Serving on a PostgreSQL server: nothing migrates by itself, and what fails there recovers by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ramet.app import App
from ramet.errors import Unready
from ramet.settings import Settings
from tests import databases
from tests.postgres import QUICK, Server
from tests.process.client import connected, until
from tests.process.harness import LEDGER, RAMET, Running, ramet_serve
from tests.process.ledger import ENTRIES

CODED = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = 'ledger'"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server([*QUICK, "synchronous_commit=on"])  # one test pulls the plug
    try:
        found.create()
        found.start()
        found.sql("CREATE DATABASE ledger")
        yield found
    finally:
        found.remove()


def serve(server: Server, folder: Path) -> AbstractContextManager[Running]:
    return ramet_serve(folder, database_url=server.url("ledger"))


def migrate(server: Server, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, RAMET, "migrate", "apply", "--app", LEDGER],
        env={**os.environ, "RAMET_DATABASE_URL": server.url("ledger")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_serving_waits_for_the_migration_and_names_the_command(server: Server, tmp_path: Path) -> None:
    with serve(server, tmp_path) as process:
        async with connected(await asyncio.to_thread(process.port)) as (client,):
            waiting = await client.ask("GET", "/health/ready")
            assert waiting.status == 503
            assert "ramet migrate apply" in waiting.json()["parts"][0]["detail"]
            assert (await client.ask("GET", "/health/live")).status == 200
            refused = await client.ask("POST", ENTRIES, {"key": "early"})
            assert (refused.status, refused.json()["code"]) == (503, "unavailable")
            assert server.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'ramet%'", "ledger") == "0"
            told = await asyncio.to_thread(migrate, server, tmp_path)
            assert "table entries is made" in told
            assert "Nothing to do" in await asyncio.to_thread(migrate, server, tmp_path)

            async def ready() -> bool:
                return (await client.ask("GET", "/health/ready")).status == 200

            await until(ready)
            made = (await client.ask("POST", ENTRIES, {"key": "a", "note": "word"})).json()
            assert (await client.ask("GET", f"{ENTRIES}/{made['id']}")).json() == made
            assert len((await client.ask("GET", f"{ENTRIES}?q=wor")).json()["items"]) == 1
        process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.ends) == 0
        assert "Traceback" not in process.text


async def test_the_server_must_prove_who_it_is_where_that_is_asked(server: Server, tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    server.adopt(tmp_path / "right.key", tmp_path / "right.crt")
    for setting in ("ssl_key_file = 'right.key'", "ssl_cert_file = 'right.crt'", "ssl = on"):
        server.sql(f"ALTER SYSTEM SET {setting}")
    server.sql("SELECT pg_reload_conf()")
    app = App(resources=[])
    databases.migrate(f"{server.url('ledger')}?sslmode=verify-full&sslrootcert={tmp_path}/right.crt", app)

    async def opens(parameters: str) -> bool:
        app.configure(Settings.read({}, database_url=f"{server.url('ledger')}?{parameters}", log_level="error"))
        try:
            await app.open()
        except Unready:
            return False
        ssl = server.sql(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = 'ledger'"
        )
        await app.shutdown()
        return ssl == "t"

    assert await opens(f"sslmode=verify-full&sslrootcert={tmp_path}/right.crt")
    assert await opens("sslmode=require")
    assert not await opens(f"sslmode=verify-full&sslrootcert={tmp_path}/wrong.crt")


async def test_a_server_that_went_away_is_found_again_without_a_restart(server: Server, tmp_path: Path) -> None:
    await asyncio.to_thread(migrate, server, tmp_path)
    with serve(server, tmp_path) as process:
        async with connected(await asyncio.to_thread(process.port)) as (client,):
            first = (await client.ask("POST", ENTRIES, {"key": "a"})).json()
            await asyncio.to_thread(server.stop, "immediate")
            refused = await client.ask("POST", ENTRIES, {"key": "b"})
            assert (refused.status, refused.json()["code"]) == (503, "unavailable")
            assert int(refused.header("retry-after")) >= 1

            async def unready() -> bool:
                return (await client.ask("GET", "/health/ready")).status == 503

            await until(unready)
            await asyncio.to_thread(server.start)

            async def stored() -> bool:
                return (await client.ask("POST", ENTRIES, {"key": "c"})).status == 201

            await until(stored)
            kept = (await client.ask("GET", f"{ENTRIES}?sort=key")).json()["items"]
            assert [entry["key"] for entry in kept] == ["a", "c"]
            assert kept[0] == first
        process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.ends) == 0
        assert "Traceback" not in process.text
