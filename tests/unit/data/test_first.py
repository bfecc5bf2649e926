"""Whoever adds a first record where there is none: of several at once one does, also where the engine loses count."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ramet import App
from ramet.data.engines import engine_part
from ramet.data.statement import Statement
from ramet.observe import Observer
from tests import databases
from tests.conftest import Scale

URL = "postgresql://h/d"
WRITERS = 4

LIST = Statement("SELECT name FROM firsts ORDER BY name LIMIT 51", (), {})
COUNT = Statement("SELECT count(*) FROM firsts", (), {})
TALLY = Statement("SELECT name, count(*) FROM firsts GROUP BY name", (), {})
ADD = Statement("INSERT INTO firsts (name) VALUES ($1)", ("name",), {})
FREE = Statement(
    "SELECT name FROM jobs WHERE NOT (EXISTS (SELECT 1 FROM firsts WHERE firsts.name = jobs.name)) LIMIT 9",
    (),
    {},
)
CLAIM = Statement("INSERT INTO firsts (name) VALUES ($1)", ("name",), {})
PLANS = "SET enable_seqscan = off; SET enable_bitmapscan = off"
"""Those by which the engine goes through the whole index: it chooses them by itself where it knows no counts."""


class Overtaken:
    """A connection whose first look finds nothing and leaves no mark for others, and somebody commits meanwhile.

    That is what the engine does where it is overtaken between looking and leaving the mark.
    """

    def __init__(self, driver: Any, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._driver = driver
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is None:
            return await self._driver.fetch(sql, *arguments)
        await self._driver.fetch("SELECT 1")
        await meanwhile()
        return [(0,)] if sql == COUNT.sql else []


class Unmarked:
    """A connection whose first look finds what is there and leaves no mark, and somebody commits meanwhile."""

    def __init__(self, driver: Any, look: Callable[[str], Awaitable[Any]], meanwhile: Awaitable[object]) -> None:
        self._driver = driver
        self._look = look
        self._meanwhile: Awaitable[object] | None = meanwhile

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is None:
            return await self._driver.fetch(sql, *arguments)
        await self._driver.fetch("SELECT 1")
        rows = await self._look(sql)
        await meanwhile
        return rows


class Firsts:
    """Writers on a table that has an index and nothing in it."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.writers = [self._writer() for _ in range(WRITERS)]

    async def clear(self) -> None:
        await self.run("DROP TABLE IF EXISTS firsts; CREATE TABLE firsts (name text); CREATE INDEX ON firsts (name)")

    async def rows(self) -> int:
        return int((await self.look(COUNT.sql))[0][0])

    async def look(self, sql: str) -> Any:
        """What somebody reads who takes part in nothing."""
        return await self._pool.read(sql, ())

    async def run(self, sql: str) -> None:
        link = await self._pool.take()
        try:
            await link.driver.execute(sql)
        finally:
            self._pool.give(link)

    def _writer(self) -> Any:
        report = engine_part(URL, "report").Report(Observer(), 60.0)
        make = engine_part(URL, "writer").Writer
        return make(self._pool, "i", lambda: 0, lambda xid, rows: None, report, queue_limit=100, timeout=60.0)


@pytest.fixture
async def firsts(tmp_path: Path) -> AsyncIterator[Firsts]:
    url = databases.fresh(databases.named(tmp_path), App(resources=[]))
    pool = engine_part(URL, "pool").Pool(url, size=WRITERS, wait=60.0, limit=60.0, opened=lambda link: None)
    try:
        found = Firsts(pool)
        await found.clear()
        yield found
    finally:
        await pool.close()


async def add_the_first(tx: Any, look: Statement = LIST) -> bool:
    """Whether this transaction was the one to add it."""
    rows = await tx.search(look, {})
    if rows and rows[0][0] != 0:
        return False
    await tx.fetch(ADD, {"name": secrets.token_hex(4)})
    return True


@pytest.mark.parametrize("look", [LIST, COUNT, TALLY])
async def test_who_is_overtaken_while_it_looks_finds_what_was_added(firsts: Firsts, look: Statement) -> None:
    one, other, *_ = firsts.writers
    attempts = []

    async def overtaken(tx: Any) -> bool:
        attempts.append(tx)
        if len(attempts) == 1:
            tx._driver = Overtaken(tx._driver, lambda: other.run(add_the_first))
        return await add_the_first(tx, look)

    assert not await one.run(overtaken)
    assert len(attempts) == 2
    assert await firsts.rows() == 1


async def test_of_several_at_once_one_adds_the_first(firsts: Firsts, scale: Scale) -> None:
    async def plainly(tx: Any) -> bool:
        await tx._driver.execute(PLANS)
        return await add_the_first(tx)

    for _ in range(scale(short=300, full=20_000)):
        await firsts.clear()
        added = await asyncio.gather(*[writer.run(plainly) for writer in firsts.writers])
        assert (sum(added), await firsts.rows()) == (1, 1)


async def claim(tx: Any) -> str:
    rows = await tx.search(FREE, {})
    if not rows:
        return ""
    await tx.fetch(CLAIM, {"name": rows[0][0]})
    return str(rows[0][0])


async def test_what_a_rule_finds_missing_elsewhere_is_looked_for_again_as_well(firsts: Firsts) -> None:
    """A job that nobody has claimed: of two at once one does, also where the list itself finds something."""
    await firsts.run("CREATE TABLE jobs (name text PRIMARY KEY); INSERT INTO jobs VALUES ('one')")
    one, other, *_ = firsts.writers
    attempts = []

    async def overtaken(tx: Any) -> str:
        attempts.append(tx)
        if len(attempts) == 1:
            tx._driver = Unmarked(tx._driver, firsts.look, other.run(claim))
        return await claim(tx)

    assert await one.run(overtaken) == ""
    assert len(attempts) == 2
    assert await firsts.rows() == 1
