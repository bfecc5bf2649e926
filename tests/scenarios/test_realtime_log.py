"""The log holds a record from before an update only where the update may alter who reads what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing

import apsw
import pytest

from ramet.testing import Client
from tests.scenarios.realtime_world import SECRET, make_app


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(make_app(), cors_origins=("https://shop.example",)) as running:
        yield running


def logged(client: Client, since: int) -> list[tuple[str, str]]:
    return [(change.resource, change.kind) for change in client.app.store.changes.after(since, 1_000)]


async def test_a_record_from_before_is_written_where_a_rule_asks_for_what_changed(client: Client) -> None:
    ada = await client.sign_up("ada")
    page = (await ada.post("pages", {})).ok()["id"]
    task = (await ada.post("tasks", {})).ok()["id"]
    team = (await ada.post("teams", {})).ok()["id"]
    member = (await ada.post("members", {"team": team, "user": ada.id})).ok()["id"]
    start = client.app.feed.seq
    (await ada.patch(f"pages/{page}", {"text": "new"})).ok()
    (await ada.patch(f"tasks/{task}", {"title": "new", "status": "done"})).ok()
    (await ada.patch(f"teams/{team}", {"name": "new"})).ok()
    assert logged(client, start) == [("Page", "updated"), ("Task", "updated"), ("Team", "updated")]
    start = client.app.feed.seq
    (await ada.patch(f"pages/{page}", {"published": True})).ok()
    (await ada.patch(f"members/{member}", {"user": "other"})).ok()
    assert logged(client, start) == [
        ("Page", "before"),
        ("Page", "updated"),
        ("Member", "before"),
        ("Member", "updated"),
    ]
    before = client.app.store.changes.after(start, 1)[0]
    assert b'"published":false' in (before.record or b"")


async def test_a_hidden_field_is_in_no_row(client: Client) -> None:
    ada = await client.sign_up("ada")
    task = (await ada.post("tasks", {})).ok()["id"]
    (await ada.patch(f"tasks/{task}", {"title": "new"})).ok()
    rows = [change.record or b"" for change in client.app.store.changes.after(0, 1_000) if change.resource == "Task"]
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
