"""The log holds a record from before an update only where the update may alter who reads what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ramet.changes.change import Change
from ramet.testing import Client
from tests.scenarios.realtime_world import SECRET, running


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(tmp_path, cors_origins=("https://shop.example",)) as client:
        yield client


async def logged(client: Client, bookmark: str = "") -> tuple[Sequence[Change], str]:
    """The rows beyond a bookmark, and the one after them."""
    log = client.app.store.changes
    rows, end = await log.page(bookmark, 1_000)
    return rows, (await log.page(end, 1))[1]


def kinds(rows: Sequence[Change]) -> list[tuple[str, str]]:
    return [(change.resource, change.kind) for change in rows]


async def test_a_record_from_before_is_written_where_a_rule_asks_for_what_changed(client: Client) -> None:
    ada = await client.sign_up("ada")
    page = (await ada.post("pages", {})).ok()["id"]
    task = (await ada.post("tasks", {})).ok()["id"]
    team = (await ada.post("teams", {})).ok()["id"]
    member = (await ada.post("members", {"team": team, "user": ada.id})).ok()["id"]
    _, start = await logged(client)
    (await ada.patch(f"pages/{page}", {"text": "new"})).ok()
    (await ada.patch(f"tasks/{task}", {"title": "new", "status": "done"})).ok()
    (await ada.patch(f"teams/{team}", {"name": "new"})).ok()
    rows, start = await logged(client, start)
    assert kinds(rows) == [("Page", "updated"), ("Task", "updated"), ("Team", "updated")]
    (await ada.patch(f"pages/{page}", {"published": True})).ok()
    (await ada.patch(f"members/{member}", {"user": "other"})).ok()
    rows, _ = await logged(client, start)
    assert kinds(rows) == [
        ("Page", "before"),
        ("Page", "updated"),
        ("Member", "before"),
        ("Member", "updated"),
    ]
    assert b'"published":false' in (rows[0].record or b"")


async def test_a_hidden_field_is_in_no_row(client: Client) -> None:
    ada = await client.sign_up("ada")
    task = (await ada.post("tasks", {})).ok()["id"]
    (await ada.patch(f"tasks/{task}", {"title": "new"})).ok()
    rows = [change.record or b"" for change in (await logged(client))[0] if change.resource == "Task"]
    assert len(rows) == 2
    assert not any(SECRET.encode() in row for row in rows)


@pytest.mark.parametrize("after", [0, 2])
async def test_a_place_without_a_row_is_one_reload(client: Client, after: int) -> None:
    """As a change of the schema leaves it: nobody can say what it did to records."""
    ada = await client.sign_up("ada")
    async with ada.watch("tasks") as events:
        await events.rest()
        mark = events.last
    for _ in range(2):
        await ada.post("tasks", {})
    path = client.app.settings.database_url.removeprefix("sqlite:///")
    with closing(apsw.Connection(path)) as other:
        other.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'ramet_changes'")
    for _ in range(after):
        await ada.post("tasks", {})
    async with ada.watch("tasks", last_event_id=mark) as events:
        assert [event.kind for event in await events.rest()] == ["reload"]


async def test_pages_of_listed_origins_may_watch(client: Client) -> None:
    listed, other = "https://shop.example", "https://evil.example"
    wanted = {"origin": listed, "access_control_request_method": "GET"}
    preflight = await client.request("OPTIONS", "events", headers=wanted)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, listed)
    assert "last-event-id" in preflight.headers["access-control-allow-headers"]
    for origin, allowed in ((listed, listed), (other, None)):
        answer = await client.get("events?resource=notices&wait=0", origin=origin)
        assert (answer.status, answer.headers.get("access-control-allow-origin")) == (200, allowed)
