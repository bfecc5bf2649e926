"""A request that is repeated with its key is carried out once, and every repetition has the first one's answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from ramet import Context, Problem, Resource, Unique, action, owner_only, public_read
from ramet.declare.rules import everyone
from tests.scenarios.core_world import STRANGER, Answer, World, person, running

A, B = person(1), person(2)


class Job(Resource):
    name: Annotated[str, Unique]
    runs: int = 0
    access = owner_only()

    @action(status=202)
    async def start(self, ctx: Context, fail: bool = False) -> Job:
        self.runs += 1
        if fail:
            raise Problem("conflict", "Not now.")
        return self


class Guest(Resource):
    line: str
    access = public_read(write=everyone)


async def post(world: World, path: str, caller: object, body: object, key: str) -> Answer:
    return await world.ask("POST", path, caller, body, headers={"idempotency-key": key})


async def count(world: World, cls: type[Resource]) -> int:
    return await world.app.as_system().count(cls)


async def test_five_at_once_are_one_record_and_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with running(path, [Job, Guest]) as one, running(path, [Job, Guest]) as two:
        await two.app.identity.rotate_keys()
        for number in range(10):
            body = {"name": f"n{number}"}
            worlds = [one, two, one, two, one]
            answers = await asyncio.gather(*[post(world, "/jobs", A, body, f"k{number}") for world in worlds])
            assert {answer.status for answer in answers} == {201}
            for name in ("etag", "location", "ramet-position"):
                assert len({answer.headers[name] for answer in answers}) == 1
            assert len({answer.body for answer in answers}) == 1
            assert sum("idempotency-replayed" in answer.headers for answer in answers) == 4
        assert await count(one, Job) == 10


async def test_repetitions_of_many_requests_at_once_meet_only_their_own_first(tmp_path: Path) -> None:
    """Others in the way of a repetition do not make it take what its first has stored for somebody else's."""
    path = tmp_path / "data.db"
    async with running(path, [Job, Guest]) as one, running(path, [Job, Guest]) as two:
        await two.app.identity.rotate_keys()
        for turn in range(3):
            names = [f"{turn}.{number}" for number in range(12)]
            asked = [post(world, "/jobs", A, {"name": name}, name) for world in (one, two, one) for name in names]
            answers = await asyncio.gather(*asked)
            assert [(answer.status, answer.code) for answer in answers if answer.status != 201] == []
            assert sum("idempotency-replayed" in answer.headers for answer in answers) == 2 * len(names)
        assert await count(one, Job) == 36


async def test_another_request_with_the_key_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Job, Guest]) as world:
        first = await post(world, "/jobs", A, {"name": "x"}, "k")
        job = first.json["id"]
        for path, body in (("/jobs", {"name": "y"}), (f"/jobs/{job}/start", {}), ("/guests", {"line": "x"})):
            answer = await post(world, path, A, body, "k")
            assert (answer.status, answer.code) == (409, "idempotency_conflict")
        assert await count(world, Job) == 1
        assert await count(world, Guest) == 0


async def test_keys_of_different_callers_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Job, Guest]) as world:
        ids = [(await post(world, "/guests", caller, {"line": "x"}, "k")).json["id"] for caller in (A, B, STRANGER)]
        assert len(set(ids)) == 3
        again = await post(world, "/guests", B, {"line": "x"}, "k")
        assert again.json["id"] == ids[1]


async def test_an_action_is_run_once_and_its_status_and_record_are_repeated(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Job, Guest]) as world:
        job = await world.create("/jobs", A, name="x")
        answers = [await post(world, f"/jobs/{job['id']}/start", A, {}, "k") for _ in range(3)]
        assert [(answer.status, answer.json["runs"]) for answer in answers] == [(202, 1)] * 3
        assert (await world.ask("GET", f"/jobs/{job['id']}", A)).json["runs"] == 1


async def test_what_was_refused_is_not_remembered(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Job, Guest]) as world:
        taken = await world.create("/jobs", A, name="x")
        assert (await post(world, "/jobs", A, {"name": "x"}, "k")).code == "not_unique"
        assert (await post(world, f"/jobs/{taken['id']}/start", A, {"fail": True}, "k")).code == "conflict"
        await world.ask("DELETE", f"/jobs/{taken['id']}", A)
        assert (await post(world, "/jobs", A, {"name": "x"}, "k")).status == 201


async def test_a_replayed_answer_outlives_the_record_and_ends_with_its_retention(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Job, Guest]) as world:
        first = await post(world, "/jobs", A, {"name": "x"}, "k")
        await world.ask("DELETE", f"/jobs/{first.json['id']}", A)
        assert (await post(world, "/jobs", A, {"name": "x"}, "k")).body == first.body
        world.clock.forward(world.app.settings.idempotency_retention + 1)
        world._tokens.clear()
        await world.app._chores.tidy()
        again = await post(world, "/jobs", A, {"name": "x"}, "k")
        assert again.status == 201
        assert again.json["id"] != first.json["id"]


async def test_a_key_in_a_part_of_a_batch_counts_as_one_in_a_header(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Job, Guest]) as world:
        part = {"method": "POST", "path": "/api/v1/guests", "body": {"line": "x"}, "idempotency_key": "k"}
        bodies = [
            (await world.ask("POST", "/batch", A, {"operations": [part], "atomic": atomic})).json["results"][0]["body"]
            for atomic in (True, False, True)
        ]
        assert bodies[0] == bodies[1] == bodies[2]
        assert await count(world, Guest) == 1
