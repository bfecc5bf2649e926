"""What PrimeTrade promises, and what nobody else gets to see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from examples.primetrade.app import app
from ramet.testing import Client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(app) as client:
        yield client


async def test_a_task_lives_from_creation_to_completion(client: Client) -> None:
    ada = await client.sign_up("ada")
    task = (await ada.post("tasks", {"title": "Close the book"})).ok()
    assert (task["status"], task["priority"], task["completed_at"]) == ("pending", "medium", None)

    done = (await ada.post(f"tasks/{task['id']}/complete")).ok()

    assert done["status"] == "completed"
    assert done["completed_at"] is not None
    assert done["version"] == 2
    reopened = (await ada.patch(f"tasks/{task['id']}", {"status": "in_progress"})).ok()
    assert reopened["completed_at"] is None
    assert (await ada.delete(f"tasks/{task['id']}")).status == 204
    assert (await ada.get("tasks")).items == []


async def test_tasks_are_filtered_searched_and_sorted(client: Client) -> None:
    ada = await client.sign_up("ada")
    for title, priority in (("Hedge dollars", "high"), ("Read the rules", "low"), ("Hedge euros", "low")):
        (await ada.post("tasks", {"title": title, "priority": priority})).ok()

    async def titles(query: str) -> list[str]:
        return [task["title"] for task in (await ada.get(f"tasks?{query}")).items]

    assert await titles("priority=low&sort=title") == ["Hedge euros", "Read the rules"]
    assert await titles("q=hedge&sort=-title") == ["Hedge euros", "Hedge dollars"]
    assert await titles("status=completed") == []


async def test_nobody_else_sees_or_touches_a_task(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    task = (await ada.post("tasks", {"title": "Secret plan"})).ok()

    assert (await bob.get("tasks")).items == []
    assert (await bob.get("tasks?q=secret")).items == []
    assert (await bob.get(f"tasks/{task['id']}")).status == 404
    assert (await bob.patch(f"tasks/{task['id']}", {"title": "Mine"})).status == 404
    assert (await bob.post(f"tasks/{task['id']}/complete")).status == 404
    assert (await bob.delete(f"tasks/{task['id']}")).status == 404
    assert (await client.get("tasks")).status == 401
    assert (await client.get(f"tasks/{task['id']}")).status in (401, 404)
    assert (await ada.get(f"tasks/{task['id']}")).json == task


async def test_an_administrator_sees_and_clears_but_does_not_change(client: Client) -> None:
    ada, boss = await client.sign_up("ada"), await client.sign_up("boss", roles=["admin"])
    task = (await ada.post("tasks", {"title": "Old"})).ok()

    assert [found["id"] for found in (await boss.get("tasks")).items] == [task["id"]]
    assert (await boss.patch(f"tasks/{task['id']}", {"title": "New"})).status == 403
    assert (await boss.delete(f"tasks/{task['id']}")).status == 204
    assert (await ada.get("tasks")).items == []


async def test_the_dashboard_counts_what_the_caller_sees(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    boss = await client.sign_up("boss", roles=["admin"])
    now = client.clock.now
    for status, due in (("pending", -1), ("in_progress", 2), ("completed", -3), ("pending", 30)):
        body = {"title": "Task", "status": status, "priority": "high", "due_at": now + timedelta(days=due)}
        (await ada.post("tasks", body)).ok()
    (await bob.post("tasks", {"title": "His"})).ok()

    assert (await ada.get("tasks/dashboard")).json == {
        "total": 4,
        "pending": 2,
        "in_progress": 1,
        "completed": 1,
        "overdue": 1,
        "due_this_week": 1,
        "high_priority": 3,
    }
    assert (await boss.get("tasks/dashboard")).json["total"] == 5
    assert (await client.get("tasks/dashboard")).status == 401
    client.clock.advance(days=3)
    fresh = await client.sign_in(ada.email)
    assert (await fresh.get("tasks/dashboard")).json["overdue"] == 2


async def test_one_profile_each_for_colleagues_to_read(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    profile = (await ada.post("profiles", {"name": "Ada"})).ok()

    assert (await ada.post("profiles", {"name": "Ada again"})).code == "not_unique"
    assert [found["name"] for found in (await bob.get("profiles")).items] == ["Ada"]
    assert (await bob.patch(f"profiles/{profile['id']}", {"name": "Bob"})).status == 403
    assert (await client.get("profiles")).status == 401


async def test_wrong_input_is_told_by_field_and_changes_nothing(client: Client) -> None:
    ada = await client.sign_up("ada")

    refused = await ada.post("tasks", {"title": "", "priority": "urgent", "completed_at": None, "colour": "red"})

    assert refused.status == 422
    assert {"/title", "/priority", "/completed_at", "/colour"} == set(refused.faults)
    task = (await ada.post("tasks", {"title": "Fine"})).ok()
    assert (await ada.post(f"tasks/{task['id']}/postpone", {"days": 10**9})).status == 422
    assert (await ada.get("tasks")).items == [task]


async def test_lists_are_cached_until_something_changes(client: Client) -> None:
    ada = await client.sign_up("ada")
    (await ada.post("tasks", {"title": "First"})).ok()

    caches = [(await ada.get("tasks")).headers["ramet-cache"] for _ in range(2)]
    (await ada.post("tasks", {"title": "Second"})).ok()
    after = await ada.get("tasks")

    assert caches == ["miss", "near"]
    assert after.headers["ramet-cache"] == "miss"
    assert [task["title"] for task in after.items] == ["Second", "First"]


async def test_the_demo_is_ready_to_sign_in_to() -> None:
    async with Client(app, demo=True) as client:
        maya = await client.sign_in("maya@primetrade.example", "green-candles-7")
        mine = (await maya.get("tasks?limit=100")).items
        admin = await client.sign_in("admin@primetrade.example", "green-candles-7")
        everything = (await admin.get("tasks?limit=100")).items

    assert len(mine) >= 10
    assert {task["owner"] for task in mine} == {maya.id}
    assert len(everything) > len(mine)
