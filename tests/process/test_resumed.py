"""A subscriber that comes back at an instance which has not read as far in the log as it was told elsewhere."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ramet import App, Resource, owner_only
from ramet.changes.feed import Feed
from ramet.changes.follower import Follower
from ramet.testing import Caller, Client
from tests import databases


class Task(Resource):
    title: str = ""

    path = "tasks"
    access = owner_only()


def hold_back(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still, as it would behind a slow line or when its process gets no turn."""

    async def poll() -> None:
        pass

    if isinstance(feed, Follower):
        monkeypatch.setattr(feed, "poll", poll)
    else:
        monkeypatch.setattr(feed, "sync", lambda: True)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_it_is_told_nothing_again_that_would_undo_what_it_knows(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was created came after how it was changed, and the change never again."""
    url = f"sqlite:///{tmp_path / 'data.db'}"
    if engine == "postgresql":
        url = databases.fresh(databases.named(tmp_path), App(resources=[Task]))
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(Client(App(resources=[Task]), database_url=url, follow_interval=0.01))
            for _ in range(2)
        ]
        ada = await one.sign_up("ada")
        there = Caller(two.app, ada.token, ada.id)
        (await there.get("tasks")).ok()
        await two.app.feed.catch_up()
        async with ada.watch("tasks") as events:
            task = (await ada.post("tasks", {"title": "before"})).ok()["id"]
            seen = [event.kind for event in await events.rest()]
        assert seen == ["ready", "created"]
        hold_back(two.app.feed, monkeypatch)
        (await ada.patch(f"tasks/{task}", {"title": "after"})).ok()
        told: list[tuple[str, Any]] = []
        async with there.watch("tasks", last_event_id=events.last) as again:
            told += [(event.kind, event.data.get("record", {}).get("title")) for event in await again.rest()]
            monkeypatch.undo()
            (await ada.post("tasks", {"title": "another"})).ok()
            told += [(event.kind, event.record["title"]) for event in await again.rest()]
        assert told == [("updated", "after"), ("ready", None), ("created", "another")]
