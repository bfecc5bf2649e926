"""Many operations in one request: all or nothing, or each by itself, and what they change is told once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from ramet import Context, Length, Resource, Unique, action, owner_only
from ramet.observe import Crashed
from tests.scenarios.core_world import STRANGER, person, running

A, B = person(1), person(2)


class Task(Resource):
    title: Annotated[str, Length(1, 20), Unique]
    access = owner_only()
    cache = 300

    @action
    async def fail(self, ctx: Context) -> None:
        raise KeyError("a fault of ours")

    @action(transaction=False)
    async def slow(self, ctx: Context) -> None: ...


def create(title: str) -> dict[str, Any]:
    return {"method": "POST", "path": "/api/v1/tasks", "body": {"title": title}}


async def test_one_refusal_undoes_all_and_says_which_it_was(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Task]) as world:
        head = await world.bookmark()
        for bad, status in (
            (create(""), 422),
            (create("a"), 409),
            ({"method": "DELETE", "path": "/api/v1/tasks/x"}, 404),
        ):
            answer = await world.ask("POST", "/batch", A, {"operations": [create("a"), bad, create("c")]})
            assert answer.status == status
            assert "Operation 1" in answer.json["detail"]
            assert all(fault["pointer"].startswith("/operations/1") for fault in answer.json["errors"])
        assert (await world.ask("GET", "/tasks", A)).json["items"] == []
        assert await world.logged(head) == []


async def test_all_are_committed_together_and_seen_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Task]) as world:
        await world.ask("GET", "/tasks", A)
        answer = await world.ask("POST", "/batch", A, {"operations": [create(str(n)) for n in range(5)]})
        assert [outcome["status"] for outcome in answer.json["results"]] == [201] * 5
        newest = (await world.logged())[-1]
        assert answer.headers["ramet-position"].endswith(f"-{newest.xid or newest.seq}")
        assert len((await world.ask("GET", "/tasks", A)).json["items"]) == 5


async def test_each_by_itself_stops_for_nothing_not_even_for_a_fault_of_ours(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Task]) as world:
        crashes: list[Crashed] = []
        world.app.observer.subscribe(Crashed, crashes.append)
        task = await world.create("/tasks", A, title="first")
        path = f"/api/v1/tasks/{task['id']}"
        operations = [
            create("a"),
            create("a"),
            {"method": "POST", "path": f"{path}/fail"},
            {"method": "GET", "path": path},
            {"method": "PATCH", "path": path, "body": {"title": "b"}, "if_match": '"9"'},
            {"method": "DELETE", "path": path},
            create("c"),
        ]
        answer = await world.ask("POST", "/batch", A, {"operations": operations, "atomic": False})
        results = answer.json["results"]
        assert [outcome["status"] for outcome in results] == [201, 409, 500, 200, 412, 204, 201]
        assert "fault of ours" not in answer.body.decode()
        assert len(crashes) == 1
        assert results[3]["body"]["title"] == "first"


async def test_who_asks_is_the_same_for_every_part_and_nobody_gets_more_by_it(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Task]) as world:
        task = await world.create("/tasks", A, title="of A")
        read = {"method": "GET", "path": f"/api/v1/tasks/{task['id']}"}
        answer = await world.ask("POST", "/batch", B, {"operations": [read, create("b")], "atomic": False})
        assert [outcome["status"] for outcome in answer.json["results"]] == [404, 201]
        answer = await world.ask("POST", "/batch", STRANGER, {"operations": [create("s")]})
        assert answer.status == 401


async def test_what_cannot_share_a_transaction_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Task]) as world:
        task = await world.create("/tasks", A, title="x")
        path = f"/api/v1/tasks/{task['id']}"
        for part in ({"method": "GET", "path": path}, {"method": "POST", "path": f"{path}/slow"}):
            answer = await world.ask("POST", "/batch", A, {"operations": [create("y"), part]})
            assert (answer.status, answer.json["errors"][0]["code"]) == (422, "not_atomic")
        assert await world.app.as_system().count(Task) == 1
