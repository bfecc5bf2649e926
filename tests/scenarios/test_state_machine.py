"""Random operations by several callers on two processes of one database, against a model in plain Python.

Both near caches are on: whatever one process wrote, the other must show at once, whole and in the right order.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.conftest import Scale
from tests.databases import CHOSEN
from tests.scenarios.core_world import STRANGER, Answer, Person, World, running
from tests.scenarios.machine_model import (
    DEFAULTS,
    NOBODY,
    PEOPLE,
    REFERENCES,
    Item,
    Model,
    Record,
    Team,
    filter_of,
    in_order,
)
from tests.test_divergence import caught_up


@cache
def template() -> Path:
    """A new database, made once: making the schema takes longer than a run."""

    async def make(path: Path) -> None:
        async with running(path, [Team, Item]):
            pass

    folder = Path(tempfile.mkdtemp(prefix="ramet-machine-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    asyncio.run(make(folder / "template.db"))
    return folder / "template.db"


titles = st.sampled_from(["a", "B", "b", "Ä", "ä", "", "zz"])
numbers = st.one_of(st.none(), st.integers(-5, 5))
codes = st.one_of(st.none(), st.sampled_from(["p", "q", "r"]))
callers = st.sampled_from((*PEOPLE, PEOPLE[0], STRANGER))
signed_in = st.sampled_from(PEOPLE)
which = st.integers(0, 1)
picks = st.integers(0, 50)
matches = st.sampled_from([None, None, "right", "wrong"])


class Machine(RuleBasedStateMachine):
    """Each rule does one thing on one of two processes and compares answer and model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.worlds: list[World] = []
        self.keys = 0

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ramet-machine-"))
        if CHOSEN == "sqlite":
            shutil.copy(template(), self.folder / "data.db")
        for _ in range(2):
            world = self.stack.enter_async_context(running(self.folder / "data.db", [Team, Item]))
            self.worlds.append(self.runner.run(world))
        # One key ring serves both, so that a token of one is a token of the other.
        self.runner.run(self.worlds[1].app.identity.rotate_keys())

    def teardown(self) -> None:
        if self.worlds:
            self.runner.run(self.stack.aclose())
            shutil.rmtree(self.folder)
        self.runner.close()

    def ask(self, at: int, method: str, path: str, caller: Person, body: object = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.runner.run(caught_up(self.worlds[at].app))
        return self.runner.run(self.worlds[at].ask(method, path, caller, body, headers=sent))

    def pick(self, path: str, number: int) -> str:
        ids = [*self.model.table(path), NOBODY]
        return ids[number % len(ids)]

    def reference(self, number: int | None) -> str | None:
        return None if number is None else self.pick("/teams", number)

    def stored(self, path: str, caller: Person, fields: Record, answer: Answer) -> None:
        """Takes what was created into the model, and looks at what the answer says of it."""
        record = answer.json
        assert answer.headers["location"] == f"/api/v1{path}/{record['id']}"
        assert answer.headers["etag"] == '"1"'
        defaults = {} if path == "/teams" else DEFAULTS
        self.model.table(path)[record["id"]] = {
            "id": record["id"],
            "owner": caller.id,
            "created_at": record["created_at"],
            "updated_at": record["updated_at"],
            "version": 1,
            **defaults,
            **fields,
        }
        assert record == self.model.table(path)[record["id"]]

    def match(self, path: str, record_id: str, kind: str | None) -> tuple[int | None, dict[str, str]]:
        if kind is None:
            return None, {}
        known = self.model.table(path).get(record_id, {"version": 1})["version"]
        version = known if kind == "right" else known + 1
        return version, {"if_match": f'"{version}"'}

    @rule(at=which, caller=callers, name=st.sampled_from(["x", "y", "z", "v", "w"]))
    def create_team(self, at: int, caller: Person, name: str) -> None:
        expected = self.model.create("/teams", caller, {"name": name})
        answer = self.ask(at, "POST", "/teams", caller, {"name": name})
        assert answer.status == expected, answer
        if expected == 201:
            self.stored("/teams", caller, {"name": name}, answer)

    def item(self, title: str, n: int | None, code: str | None, refs: list[int | None]) -> Record:
        fields: Record = {"title": title, "n": n, "code": code}
        fields.update({name: self.reference(ref) for name, ref in zip(REFERENCES, refs, strict=True)})
        return {name: value for name, value in fields.items() if value is not None}

    references = st.lists(st.one_of(st.none(), st.none(), picks), min_size=3, max_size=3)

    @rule(at=which, caller=callers, title=titles, n=numbers, code=codes, refs=references, times=st.integers(1, 3))
    def create_item(
        self, at: int, caller: Person, title: str, n: int | None, code: str | None, refs: list[int | None], times: int
    ) -> None:
        """With `times` above 1, the same request is repeated on alternating processes: one record, one answer."""
        fields = self.item(title, n, code, refs)
        expected = self.model.create("/items", caller, fields)
        self.keys += 1
        headers = {"idempotency_key": f"key-{self.keys}"} if times > 1 else {}
        answer = self.ask(at, "POST", "/items", caller, fields, **headers)
        assert answer.status == expected, answer
        if expected != 201:
            return
        self.stored("/items", caller, fields, answer)
        for number in range(1, times):
            again = self.ask((at + number) % 2, "POST", "/items", caller, fields, **headers)
            assert (again.status, again.body) == (201, answer.body)
            for name in ("etag", "location", "ramet-position"):
                assert again.headers[name] == answer.headers[name]
            assert again.headers["idempotency-replayed"] == "true"
        if times > 1:
            other = self.ask(at, "POST", "/items", caller, {**fields, "title": title + "!"}, **headers)
            assert (other.status, other.code) == (409, "idempotency_conflict")

    @rule(at=which, caller=callers, pick=picks, match=matches, name=st.sampled_from(["x", "y", "z", "v", "w"]))
    def rename_team(self, at: int, caller: Person, pick: int, match: str | None, name: str) -> None:
        record_id = self.pick("/teams", pick)
        version, headers = self.match("/teams", record_id, match)
        expected = self.model.update("/teams", caller, record_id, {"name": name}, version)
        answer = self.ask(at, "PATCH", f"/teams/{record_id}", caller, {"name": name}, **headers)
        self.compare_change(answer, expected, "/teams", record_id)

    @rule(
        at=which,
        caller=callers,
        pick=picks,
        match=matches,
        whole=st.booleans(),
        title=titles,
        n=numbers,
        code=codes,
        refs=references,
    )
    def change_item(
        self,
        at: int,
        caller: Person,
        pick: int,
        match: str | None,
        whole: bool,
        title: str,
        n: int | None,
        code: str | None,
        refs: list[int | None],
    ) -> None:
        record_id = self.pick("/items", pick)
        version, headers = self.match("/items", record_id, match)
        sent = self.item(title, n, code, refs)
        fields = {**DEFAULTS, **sent} if whole else sent
        expected = self.model.update("/items", caller, record_id, fields, version)
        answer = self.ask(at, "PUT" if whole else "PATCH", f"/items/{record_id}", caller, sent, **headers)
        self.compare_change(answer, expected, "/items", record_id)

    def compare_change(self, answer: Answer, expected: int, path: str, record_id: str) -> None:
        assert answer.status == expected, answer
        if expected == 200:
            record = self.model.table(path)[record_id]
            assert answer.json == record
            assert answer.headers["etag"] == f'"{record["version"]}"'
            assert "ramet-position" in answer.headers

    @rule(at=which, caller=callers, pick=picks, by=st.integers(-3, 3))
    def act(self, at: int, caller: Person, pick: int, by: int) -> None:
        record_id = self.pick("/items", pick)
        old = self.model.items.get(record_id)
        answer = self.ask(at, "POST", f"/items/{record_id}/bump", caller, {"by": by})
        if caller.id is None:
            assert answer.status == 401
        elif old is None or not self.model.sees(caller, old):
            assert answer.status == 404
        else:
            n = min(5, (old["n"] or 0) + by)
            if n != old["n"]:
                old["n"] = n
                old["version"] += 1
            assert answer.status == 200
            assert answer.json == old

    @rule(at=which, caller=callers, path=st.sampled_from(["/teams", "/items"]), pick=picks, match=matches)
    def delete(self, at: int, caller: Person, path: str, pick: int, match: str | None) -> None:
        record_id = self.pick(path, pick)
        version, headers = self.match(path, record_id, match)
        expected = self.model.delete(path, caller, record_id, version)
        answer = self.ask(at, "DELETE", f"{path}/{record_id}", caller, **headers)
        assert answer.status == expected, answer

    @rule(at=which, caller=signed_in, title=titles, pick=picks, n=st.integers(-9, 9), atomic=st.booleans())
    def batch(self, at: int, caller: Person, title: str, pick: int, n: int, atomic: bool) -> None:
        """A create and a change in one request: all or nothing, or each by itself. Numbers beyond 5 are refused."""
        record_id = self.pick("/items", pick)
        old = self.model.items.get(record_id)
        fine = abs(n) <= 5 and self.model.sees(caller, old)
        operations = [
            {"method": "POST", "path": "/api/v1/items", "body": {"title": title}},
            {"method": "PATCH", "path": f"/api/v1/items/{record_id}", "body": {"n": n}},
        ]
        answer = self.ask(at, "POST", "/batch", caller, {"operations": operations, "atomic": atomic})
        if atomic and not fine:
            assert answer.status in (404, 422), answer
            return
        first, second = answer.json["results"]
        assert first["status"] == 201
        record = first["body"]
        self.model.items[record["id"]] = {**record}
        assert record == {**record, **DEFAULTS, "title": title, "owner": caller.id, "version": 1}
        if fine and old is not None:
            old["n"] = n
            old["version"] += 1
            assert (second["status"], second["body"]) == (200, old)
        else:
            assert second["status"] in (404, 422)

    @rule(at=which, caller=callers, path=st.sampled_from(["/teams", "/items"]), pick=picks)
    def get(self, at: int, caller: Person, path: str, pick: int) -> None:
        record_id = self.pick(path, pick)
        record = self.model.table(path).get(record_id)
        answer = self.ask(at, "GET", f"{path}/{record_id}", caller)
        if self.model.sees(caller, record):
            assert (answer.status, answer.json) == (200, record)
        else:
            assert answer.status == (401 if caller.id is None else 404)

    @rule(at=which, caller=signed_in, path=st.sampled_from(["/teams", "/items"]))
    def list_all(self, at: int, caller: Person, path: str) -> None:
        """The plain list, which both processes keep in their caches."""
        answer = self.ask(at, "GET", path, caller)
        expected = sorted(self.model.visible(path, caller), key=lambda r: (r["created_at"], r["id"]), reverse=True)[:20]
        assert answer.json["items"] == expected

    @rule(
        at=which,
        caller=signed_in,
        sort=st.sampled_from(["n", "-n", "title", "-title,n", "n,-title", "id", "-id", "-created_at"]),
        limit=st.integers(1, 4),
        wanted=st.sampled_from(["", "n[gt]", "n[is]", "title[contains]", "n[not]", "n[in]", "team[is]"]),
        value=st.integers(-3, 3),
        expand=st.booleans(),
    )
    def walk(self, at: int, caller: Person, sort: str, limit: int, wanted: str, value: int, expand: bool) -> None:
        """Every page of a filtered, sorted list, on alternating processes, then back again."""
        keeps, text = filter_of(wanted, value)
        expected = in_order([r for r in self.model.visible("/items", caller) if keeps(r)], sort)
        query = {"sort": sort, "limit": str(limit), "count": "exact"}
        query |= {wanted: text} if wanted else {}
        query |= {"expand": "team,side"} if expand else {}
        seen: list[Record] = []
        cursor, back = "", None
        for turn in range(len(expected) + 2):
            page = self.page(at + turn, caller, {**query, **({"after": cursor} if cursor else {})})
            assert page["count"] == len(expected)
            seen += page["items"]
            back = page["previous"]
            if page["next"] is None:
                break
            cursor = page["next"]
        assert [self.shown(caller, record, expand) for record in expected] == seen
        place = len(seen) - len(page["items"])
        while back is not None:
            page = self.page(at, caller, {**query, "before": back})
            assert page["items"] == seen[max(0, place - limit) : place]
            place -= len(page["items"])
            back = page["previous"]
        assert place == 0

    def page(self, at: int, caller: Person, query: dict[str, str]) -> Any:
        answer = self.ask(at % 2, "GET", f"/items?{urlencode(query)}", caller)
        assert answer.status == 200, answer
        return answer.json

    def shown(self, caller: Person, record: Record, expand: bool) -> Record:
        if not expand:
            return record
        targets = {name: self.model.teams.get(record[name] or "") for name in ("team", "side")}
        seen = {name: target if self.model.sees(caller, target) else None for name, target in targets.items()}
        return {**record, "expanded": seen}


@pytest.mark.soak
def test_two_processes_and_their_caches_agree_with_the_model(scale: Scale) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=scale(short=40, full=1_000),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
