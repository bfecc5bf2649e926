"""Leases: whoever is stopped while it asks for one leaves it to the next."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ramet import App
from ramet.data.engines import engine_part
from tests import databases

URL = "postgresql://h/d"
ROUNDS = 12

Leadership: Any = engine_part(URL, "leadership").Leadership


async def later(leadership: Any, name: str) -> bool:
    await asyncio.sleep(0.1)  # waits: for a statement that is still on its way
    return bool(await leadership.take(name))


async def test_a_lease_that_somebody_asked_for_and_did_not_wait_for_is_free_once_it_stops(tmp_path: Path) -> None:
    url = databases.fresh(databases.named(tmp_path), App(resources=[]))
    pool = engine_part(URL, "pool").Pool(url, size=4, wait=60.0, limit=60.0, opened=lambda link: None)
    try:
        other, late = Leadership(pool), 0
        for number in range(ROUNDS):
            name, one = f"work-{number}", Leadership(pool)
            asking = asyncio.create_task(one.take(name))
            for _ in range(1 + number % 3):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            await one.close()
            late += not await other.take(name) and not await later(other, name)
        assert late <= ROUNDS // 4, "but for statements that are carried out after the leases were freed"
    finally:
        await pool.close()
