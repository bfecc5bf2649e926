"""The roles that the documentation shows for PostgreSQL and Redis are enough, and no more than that."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.postgres import QUICK
from tests.postgres import Server as Postgres
from tests.process.client import Client, connected, until, well
from tests.process.harness import LEDGER, RAMET, ROOT, ramet_serve
from tests.process.ledger import ENTRIES
from tests.process.people import CHEAP, register, sign_in
from tests.redis import Server as Redis

HOW_TO = ROOT / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code in one language of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (HOW_TO / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server with the roles and the database of the documentation."""
    found = Postgres(QUICK)
    try:
        found.create()
        found.start()
        administrator, owner = blocks("postgresql.md", "sql")
        for statement in administrator.splitlines():
            found.sql(statement)
        found.sql(f"SET ROLE app_owner; {owner}", "app")
        yield found
    finally:
        found.remove()


def address(server: Postgres, role: str) -> str:
    return server.url("app").replace("ramet@", f"{role}@")


async def works(client: Client) -> None:
    """Registers, signs in, creates, changes, searches, acts, deletes."""
    who = await sign_in(client, await register(client, "ann"))
    made = (await client.ask("POST", ENTRIES, {"key": "a", "note": "word", "group": "received"})).json()
    for method, path, body, status in (
        ("PATCH", f"{ENTRIES}/{made['id']}", {"value": 2}, 200),
        ("GET", f"{ENTRIES}?q=wor&count=exact", None, 200),
        ("POST", "/api/v1/batch", {"operations": [{"method": "POST", "path": ENTRIES, "body": {"key": "b"}}]}, 200),
        ("GET", "/api/v1/users/me", None, 200),
        ("DELETE", f"{ENTRIES}/{made['id']}", None, 204),
        ("POST", "/api/v1/auth/sign-out", None, 204),
    ):
        answer = await client.ask(method, path, body, headers=who.headers)
        assert answer.status == status, (method, path, answer)


async def test_the_role_that_serves_needs_no_right_to_change_the_schema(
    server: Postgres, redis: Redis, tmp_path: Path
) -> None:
    migrated = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, RAMET, "migrate", "apply", "--app", LEDGER],
        env={**os.environ, "RAMET_DATABASE_URL": address(server, "app_owner")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stderr
    with pytest.raises(RuntimeError, match="permission denied"):
        server.sql("SET ROLE app_server; CREATE TABLE other (id int)", "app")
    with pytest.raises(RuntimeError, match="must be owner"):
        server.sql("SET ROLE app_server; ALTER TABLE entries ADD COLUMN more int", "app")
    (acl,) = blocks("redis.md", "text")
    redis.command(*acl.split())
    place = urlsplit(redis.url)
    settings = {
        "database_url": address(server, "app_server"),
        "redis_url": place._replace(netloc=f"app:secret@{place.netloc}").geturl(),
        "redis_timeout": 5.0,
        "limits": True,
        **CHEAP,
    }
    with ramet_serve(tmp_path, **settings) as one, ramet_serve(tmp_path, **settings) as other:
        ports = [await asyncio.to_thread(process.port) for process in (one, other)]
        async with connected(ports[0]) as (client,), connected(ports[1]) as (second,):
            await works(client)

            await until(lambda: well((client, second)))

            async def leased() -> bool:
                """Whether limits are kept in Redis: what was handed out before it answered is told a moment later."""
                return "ramet:limit:" in await asyncio.to_thread(redis.command, "keys", "*")

            await until(leased)
        for process in (one, other):
            assert "Traceback" not in process.text
            assert "refuses" not in process.text
    denied = redis.command("acl", "log")
    assert "app" not in denied.split(), denied
