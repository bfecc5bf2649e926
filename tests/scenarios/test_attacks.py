"""What an attacker tries, each by a request or two. Where time is the weapon, what it grows with is looked at."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import process_time
from typing import Annotated

import pytest

from ramet import Access, Context, Index, Problem, Ref, Resource, before, exists, me, owner_only, signed_in, that, this
from ramet.data.query import Filter, Query
from ramet.operations import batching
from ramet.operations.authority import UNGUARDED
from tests.scenarios.core_world import STRANGER, World, person, running

ANN, BOB = person(1), person(2)


class Note(Resource):
    text: str = ""
    done: bool = False

    access = owner_only()
    search = ("text",)
    cache = 300


class Team(Resource):
    name: str = ""

    access = Access(read=signed_in)


class Lead(Resource):
    """Who leads a team, and so sees what its members earn."""

    team: Annotated[str, Ref(Team)]
    user: str

    access = Access(read=signed_in, create=signed_in)


leads = exists(Lead, that.team == this.team, that.user == me.id)


class Employee(Resource):
    team: Annotated[str, Ref(Team)]
    name: str = ""
    salary: int = 0

    access = Access(read=signed_in, create=signed_in, update=signed_in, fields={"salary": leads})


class Seat(Resource):
    """Whom the leader of a team has let in; a team has each of them once, and nobody twice."""

    team: Annotated[str, Ref(Team)]
    who: str

    access = Access(read=leads, create=leads)
    indexes = [Index("team", "who", unique=True)]

    @before("create")
    async def known(self, ctx: Context) -> None:
        if not self.who.startswith("known"):
            raise Problem("invalid_input", "Nobody has this name.")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path / "data.db", [Note, Team, Lead, Employee, Seat]) as found:
        yield found


async def test_a_replacement_does_not_tell_whether_a_hidden_value_was_guessed(world: World) -> None:
    team = (await world.create("/teams", ANN, name="Metals"))["id"]
    await world.create("/leads", ANN, team=team, user=ANN.id)
    record = await world.create("/employees", ANN, team=team, name="Mia", salary=5_000)
    address = f"/employees/{record['id']}"
    answers = [
        await world.ask("PUT", address, BOB, {"team": team, "name": "Mia", "salary": guess}) for guess in (4_999, 5_000)
    ]
    assert [answer.code for answer in answers] == ["invalid_input", "invalid_input"]
    assert answers[0].body == answers[1].body
    seen = (await world.ask("GET", address, ANN)).json
    assert (seen["salary"], seen["version"]) == (5_000, 1)
    assert (await world.ask("PUT", address, ANN, {"team": team, "name": "Mia", "salary": 5_000})).status == 200


async def test_who_may_not_create_does_not_learn_why_it_would_fail(world: World) -> None:
    team = (await world.create("/teams", ANN))["id"]
    await world.create("/leads", ANN, team=team, user=ANN.id)
    await world.create("/seats", ANN, team=team, who="known 1")
    attempts = [{"team": team, "who": who} for who in ("known 1", "known 2", "unknown")]
    answers = [await world.ask("POST", "/seats", BOB, body) for body in attempts]
    assert [answer.code for answer in answers] == ["forbidden"] * 3
    assert len({answer.body for answer in answers}) == 1
    told = [(await world.ask("POST", "/seats", ANN, body)).code for body in attempts]
    assert told == ["not_unique", "", "invalid_input"]


async def test_a_list_of_tags_made_of_blanks_takes_no_longer_than_its_length_allows(world: World) -> None:
    record = await world.create("/notes", ANN)

    async def spent(blanks: int) -> float:
        started = process_time()
        answer = await world.ask(
            "GET", f"/notes/{record['id']}", ANN, headers={"if-none-match": f'"a",{" " * blanks}x'}
        )
        assert answer.code == "invalid_header"
        return process_time() - started

    short, long = [min([await spent(blanks) for _ in range(5)]) for blanks in (1_000, 8_000)]
    assert long < 8 * short, "a parser that goes back takes 64 times as long"


async def test_a_body_of_unknown_fields_is_refused_after_the_first_hundred(world: World) -> None:
    async def steps(fields: int) -> int:
        body = json.dumps({f"tex{number}": 1 for number in range(fields)}).encode()
        counted = itertools.count()
        sys.setprofile(lambda frame, event, argument: next(counted))
        try:
            answer = await world.ask("POST", "/notes", STRANGER, raw=body)
        finally:
            sys.setprofile(None)
        assert (answer.code, len(answer.json["errors"])) == ("invalid_input", 100)
        return next(counted)

    few, many = await steps(1_000), await steps(70_000)
    assert few > 100 * 50, "to look at one of them takes many steps"
    assert many - few < 69_000 * 10, "the others are only read"


async def test_a_search_never_keeps_the_event_loop_waiting(world: World) -> None:
    """One step of a full-text search may take 100 ms, so the bound of steps would not end it."""
    reads = world.app.core.reads["Note"]
    for item in (Query(search="a"), Query(filters=(Filter("text", "contains", ("a",)),))):
        assert reads.list_plan(item, UNGUARDED).statement.costly
        assert reads.count_plan(item, UNGUARDED).costly
    assert not reads.list_plan(Query(), UNGUARDED).statement.costly


async def test_long_questions_with_empty_answers_do_not_grow_the_cache_beyond_its_bound(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Note], cache_size=200_000) as world:
        for number in range(100):
            texts = ",".join(f"{number:04}{place:056}" for place in range(100))
            assert (await world.ask("GET", f"/notes?text[in]={texts}", ANN)).json["items"] == []
        assert world.app.near.bytes <= 200_000
        assert len(world.app.near) < 30


async def test_what_cannot_be_understood_counts_against_the_limit_too(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Note], limits=True, limit_address="5/60") as world:
        part = {"method": "GET", "path": "/api/v1/nowhere"}
        attempts = [
            ("GET", "/notes?nothing=1", None),
            ("GET", "/nowhere", None),
            ("POST", "/batch", {"operations": [part]}),
            ("POST", "/batch", {"operations": []}),
            ("POST", "/batch", {"atomic": False, "operations": [part]}),
        ]
        for method, path, body in attempts:
            answer = await world.ask(method, path, body=body)
            assert answer.status != 429, path
        for method, path, body in attempts:
            assert (await world.ask(method, path, body=body)).code == "rate_limited", path
        assert (await world.ask("GET", "/notes", ANN)).status == 200


async def test_faults_of_a_query_are_told_up_to_a_hundred(world: World) -> None:
    names = ",".join(f"tex{number}" for number in range(900))
    answer = await world.ask("GET", f"/notes?fields={names}", ANN)
    assert (answer.code, len(answer.json["errors"])) == ("invalid_query", 100)


async def test_a_batch_of_reads_ends_where_its_answers_fill_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "ANSWER_LIMIT", 3_000)
    await world.create("/notes", ANN, text="x" * 900)
    parts = [{"method": "GET", "path": "/api/v1/notes"}] * 6
    answer = await world.ask("POST", "/batch", ANN, {"atomic": False, "operations": parts})
    assert [result["status"] for result in answer.json["results"]] == [200, 200, 200, 503, 503, 503]


async def test_nobody_else_on_the_machine_reads_the_database(tmp_path: Path) -> None:
    """It holds the root secret, unless that is set: who reads it signs in as anybody."""
    async with running(tmp_path / "data.db", [Note]) as world:
        await world.create("/notes", ANN)
        found = modes(tmp_path)
    assert "data.db-wal" in found
    assert {name for name, mode in found.items() if mode & 0o077} == set()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode for path in folder.iterdir()}
