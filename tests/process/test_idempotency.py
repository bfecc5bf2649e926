"""Repeated creates over two workers: one row for each key, and the same answer to every repetition."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.conftest import Scale
from tests.process.client import Client, spread
from tests.process.harness import ramet_serve
from tests.process.ledger import ENTRIES

TIMES = 5
LANES = 8
KEPT_HEADERS = ("etag", "location", "ramet-position", "content-type")


@pytest.mark.soak
async def test_10_000_creates_sent_5_times_at_once_make_one_row_each(tmp_path: Path, scale: Scale) -> None:
    creates = scale(short=10_000, full=100_000)
    with ramet_serve(tmp_path, "--workers", "2") as server:
        async with spread(await asyncio.to_thread(server.port), LANES * TIMES // 2) as workers:
            clients = [client for pair in zip(*workers.values(), strict=True) for client in pair]
            made = await asyncio.gather(
                *(
                    _create_all(clients[lane * TIMES : (lane + 1) * TIMES], range(lane, creates, LANES))
                    for lane in range(LANES)
                )
            )
    ids = {key: record for lane in made for key, record in lane.items()}
    with closing(apsw.Connection(str(tmp_path / "ramet.db"))) as connection:
        stored = connection.execute("SELECT key, id, version FROM entries").fetchall()
        logged = connection.execute("SELECT record_id FROM ramet_changes WHERE resource = 'Entry'").fetchall()
    assert len(stored) == creates == len(ids)
    assert {key: record for key, record, _ in stored} == ids
    assert {version for _, _, version in stored} == {1}
    assert sorted(record for (record,) in logged) == sorted(ids.values())


async def _create_all(clients: list[Client], numbers: range) -> dict[str, str]:
    """Sends each create on all connections at once; the ids that were answered, by key."""
    made = {}
    for number in numbers:
        key = f"key-{number}"
        body = {"key": key, "value": number}
        headers = {"idempotency-key": key}
        answers = await asyncio.gather(*(client.send("POST", ENTRIES, body, headers) for client in clients))
        told = {(a.status, a.body, *(a.header(name) for name in KEPT_HEADERS)) for a in answers}
        assert len(told) == 1, told
        assert answers[0].status == 201, answers[0]
        made[key] = answers[0].json()["id"]
    return made
