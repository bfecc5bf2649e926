"""Lists over HTTP: pages that neither repeat nor skip, cursors nobody can make up, and exactly so many statements."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import Annotated, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramet import Json, Length, Ref, Resource, Unique, owner_only, public_read
from ramet.observe import StatementRun
from tests.scenarios.core_world import World, person, running
from tests.test_divergence import CREATION, UPDATE

A, B = person(1), person(2)


class Team(Resource):
    name: Annotated[str, Unique]
    access = owner_only()


class Row(Resource):
    """Has nulls to sort by, and references to expand."""

    n: int | None = None
    m: int = 0
    code: Annotated[str, Unique] = ""
    text: Annotated[str, Length(max=10_000)] = ""
    team: Annotated[str, Ref(Team)] | None = None
    other: Annotated[str, Ref(Team)] | None = None
    access = owner_only()


class Public(Resource):
    text: str
    access = public_read()


class Sheet(Resource):
    n: int = 0
    data: Json = None
    access = owner_only()


RESOURCES = [Team, Row, Public]
Changes = list[tuple[str, int | None, int]]
changes = st.lists(
    st.tuples(st.sampled_from(["insert", "delete"]), st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 3)),
    max_size=3,
)


async def walk(world: World, query: str, between: list[Changes], forward: bool) -> tuple[list[str], set[str], set[str]]:
    """The ids met on the way through all pages, those that were there throughout, and those ever there."""
    rows = {row["id"]: row for row in (await world.ask("GET", "/rows?limit=100", A)).json["items"]}
    throughout, ever = set(rows), set(rows)
    met: list[str] = []
    turn = 0
    page = (await world.ask("GET", f"/rows?{query}", A)).json
    if not forward:
        while page["next"] is not None:
            page = (await world.ask("GET", f"/rows?{query}&after={page['next']}", A)).json
    while True:
        met += [row["id"] for row in (page["items"] if forward else reversed(page["items"]))]
        for kind, n, m in between[turn] if turn < len(between) else []:
            if kind == "insert":
                made = await world.create("/rows", A, n=n, m=m, code=f"new-{turn}-{len(ever)}")
                ever.add(made["id"])
            elif throughout:
                gone = sorted(throughout)[m % len(throughout)]
                await world.ask("DELETE", f"/rows/{gone}", A)
                throughout.discard(gone)
        turn += 1
        cursor = page["next" if forward else "previous"]
        if cursor is None or turn > 50:
            return met, throughout, ever
        page = (await world.ask("GET", f"/rows?{query}&{'after' if forward else 'before'}={cursor}", A)).json


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 2)), max_size=10),
    sort=st.sampled_from(["n", "-n", "n,-m", "-n,m", "m,n", "-m,-n", "code", "-code", "id", "-created_at", "m,-id"]),
    limit=st.integers(1, 4),
    between=st.lists(changes, max_size=5),
    forward=st.booleans(),
)
def test_pages_neither_repeat_nor_skip_what_was_there_throughout(
    values: list[tuple[int | None, int]], sort: str, limit: int, between: list[Changes], forward: bool
) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with running(Path(folder) / "data.db", RESOURCES) as world:
                for number, (n, m) in enumerate(values):
                    await world.create("/rows", A, n=n, m=m, code=str(number))
                met, throughout, ever = await walk(world, f"sort={sort}&limit={limit}", between, forward)
                assert len(met) == len(set(met)), "a record came twice"
                assert throughout <= set(met) <= ever

    asyncio.run(run())


async def test_forged_and_foreign_cursors_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        for number in range(3):
            await world.create("/rows", A, code=str(number), m=number)
            await world.create("/publics", A, text=str(number))
        cursor = (await world.ask("GET", "/rows?limit=1&sort=m", A)).json["next"]
        assert (await world.ask("GET", f"/rows?limit=1&sort=m&after={cursor}", A)).status == 200
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        forged = [raw[:12] + b'[0,"0"]', raw[:-1] + bytes([raw[-1] ^ 1]), bytes([raw[0] ^ 1]) + raw[1:], raw[:5], b""]
        texts = [base64.urlsafe_b64encode(content).rstrip(b"=").decode() for content in forged]
        for text in (*texts, "x", "!!", "%FF", "a" * 3_000, cursor + "A"):
            answer = await world.ask("GET", f"/rows?limit=1&sort=m&after={text}", A)
            assert answer.status == 400, text
        for path in ("/rows?limit=1&sort=-m", "/rows?limit=1", "/publics?limit=1", "/rows?sort=m,n&limit=1"):
            assert (await world.ask("GET", f"{path}&after={cursor}", A)).code == "invalid_cursor"
        assert (await world.ask("GET", f"/rows?after={cursor}&before={cursor}&sort=m", A)).code == "invalid_query"


async def test_every_cursor_that_is_given_out_is_one_that_is_taken(tmp_path: Path) -> None:
    """However long the texts are that a list is sorted by."""
    async with running(tmp_path / "data.db", RESOURCES) as world:
        for number in range(3):
            await world.create("/rows", A, code=str(number), text="\u2603" * 900 + str(number))
        answer = await world.ask("GET", "/rows?limit=1&sort=text", A)
        if answer.status == 200:
            again = await world.ask("GET", f"/rows?limit=1&sort=text&after={answer.json['next']}", A)
            assert again.status == 200
        else:
            assert answer.code == "invalid_query"


class Counting:
    """The statements that one request ran."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[str] = []
        world.app.observer.subscribe(StatementRun, lambda event: self.seen.append(event.sql))

    async def of(self, method: str, path: str, body: object = None) -> list[str]:
        self.seen.clear()
        answer = await self.world.ask(method, path, A, body)
        assert answer.status < 300, answer
        return list(self.seen)


async def test_each_operation_runs_exactly_the_statements_it_needs(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        teams = [await world.create("/teams", A, name=str(number)) for number in range(4)]
        rows: list[Any] = [
            await world.create("/rows", A, code=str(n), team=teams[n % 4]["id"], other=teams[(n + 1) % 4]["id"])
            for n in range(20)
        ]
        count = Counting(world)
        path = f"/rows/{rows[0]['id']}"
        assert len(await count.of("GET", "/rows")) == 1
        assert len(await count.of("GET", "/rows?expand=team,other")) == 3
        assert len(await count.of("GET", path)) == 1
        assert len(await count.of("GET", path + "?expand=team")) == 2
        assert len(await count.of("GET", "/rows?count=exact")) == 2
        assert [sql.split()[0] for sql in await count.of("POST", "/publics", {"text": "t"})] == CREATION
        updates = await count.of("PATCH", path, {"m": 5})
        assert [sql.split()[0] for sql in updates] == UPDATE
        for query in ("", "?sort=-n,m", "?m[gt]=1&n[is]=null", "?limit=3"):
            assert not any("count(" in sql.lower() for sql in await count.of("GET", f"/rows{query}"))


async def test_a_list_holds_what_its_filters_say(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        for number in range(6):
            await world.create("/rows", A, code=f"Code {number}", m=number, n=None if number % 2 else number)
        await world.create("/rows", B, code="of another", m=1)

        async def codes(query: str) -> list[str]:
            answer = await world.ask("GET", f"/rows?sort=m&{query}", A)
            return [row["code"][-1] for row in answer.json["items"]]

        assert await codes("m[gt]=1&m[lte]=4") == ["2", "3", "4"]
        assert await codes("m[in]=0,5,9") == ["0", "5"]
        assert await codes("n[is]=null") == ["1", "3", "5"]
        assert await codes("n[is]=not_null&m[not]=0") == ["2", "4"]
        assert await codes("n[not]=0") == ["1", "2", "3", "4", "5"]
        assert await codes("code[contains]=oDE%203") == ["3"]
        assert await codes("code[starts]=code") == ["0", "1", "2", "3", "4", "5"]
        assert await codes("code=Code%202") == ["2"]
        assert await codes("m=1") == ["1"]


async def test_wrong_parameters_are_all_told_with_the_nearest_right_name(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        answer = await world.ask(
            "GET", "/rows?cod=1&m[gte]=x&n[contains]=1&sort=nn&limit=0&fields=mm&expand=n&count=1", A
        )
        assert answer.status == 400
        faults = {fault["pointer"]: fault for fault in answer.json["errors"]}
        assert set(faults) == {"?cod", "?m[gte]", "?n[contains]", "?sort", "?limit", "?fields", "?expand", "?count"}
        assert "'code'" in faults["?cod"]["detail"]


async def test_a_wrong_filter_is_told_those_of_its_field(tmp_path: Path) -> None:
    every = "n, n[not], n[lt], n[lte], n[gt], n[gte], n[in], n[is]"
    cases = (
        ("data=1", "data[is]", ""),
        ("data[iss]=null", "data[is]", " Did you mean 'is'?"),
        ("data[in]=1", "data[is]", ""),
        ("n[gtt]=1", every, " Did you mean 'gt'?"),
        ("n[contain]=1", every, ""),
        ("n[]=1", every, ""),
        ("n[lt=1", every, ""),
    )
    async with running(tmp_path / "list.db", [Sheet]) as world:
        for asked, ways, hint in cases:
            answer = await world.ask("GET", f"/sheets?{asked}", A)
            assert answer.status == 400
            fault = {"pointer": f"?{asked.partition('=')[0]}", "code": "unknown_filter"}
            assert answer.json["errors"] == [{**fault, "detail": f"This field can be filtered by {ways}.{hint}"}]
