"""Changes over HTTP: references, replacements, fields not everybody writes, actions, hooks and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from ramet import (
    Access,
    Context,
    Hidden,
    Problem,
    ReadOnly,
    Ref,
    Resource,
    Unique,
    WriteOnce,
    action,
    before,
    me,
    owner_only,
    role,
    signed_in,
    this,
)
from ramet.declare.rules import everyone
from tests.scenarios.core_world import STRANGER, World, person, running

A, B, EDITOR = person(1), person(2), person(3, "editor")


class Node(Resource):
    """A tree that can be closed to a circle."""

    name: str = ""
    parent: Annotated[str, Ref("Node", on_delete="cascade")] | None = None
    access = owner_only()


class Org(Resource):
    name: str
    access = owner_only()


class Project(Resource):
    org: Annotated[str, Ref(Org, on_delete="cascade")]
    access = owner_only()


class Ticket(Resource):
    """Leaves with its organisation, but keeps its project from leaving alone."""

    org: Annotated[str, Ref(Org, on_delete="cascade")]
    project: Annotated[str, Ref(Project, on_delete="restrict")]
    access = owner_only()


class Page(Resource):
    title: str
    slug: Annotated[str, WriteOnce] = "home"
    approved: bool = False
    tags: list[str] = []
    state: str = "draft"
    secret: Annotated[str, Hidden] = "hidden-secret"
    seen: Annotated[int, ReadOnly] = 0
    access = Access(
        everyone,
        signed_in,
        (this.owner == me.id) | role("editor"),
        this.owner == me.id,
        write_fields={"approved": role("editor"), "tags": role("editor"), "state": this.state != "final"},
    )


class Limited(Resource):
    name: Annotated[str, Unique]
    access = Access(
        create=signed_in & (this.name != "forbidden"), update=(this.owner == me.id) & (this.name != "forbidden")
    )


class Worker(Resource):
    """Its actions use their own record and others in every way."""

    name: str = "w"
    steps: int = 0
    access = owner_only()

    @action
    async def by_update(self, ctx: Context) -> Worker:
        await ctx.update(self, steps=self.steps + 1)
        self.name = "also changed"
        return self

    @action
    async def by_deletion(self, ctx: Context) -> None:
        await ctx.delete(self)

    @action
    async def tries(self, ctx: Context) -> list[str]:
        """Goes on after refusals, which must leave nothing behind."""
        refused = []
        for name in ("fine", "forbidden", "fine"):
            try:
                await ctx.create(Limited(name=name))
            except Problem as problem:
                refused.append(problem.kind.code)
        return refused

    @action
    async def fails(self, ctx: Context) -> None:
        await ctx.create(Limited(name="gone"))
        raise Problem("conflict", "After all.")


class Stamped(Resource):
    """What hooks may do: change, refuse, look at what was, and write elsewhere."""

    text: str
    told: Annotated[str, ReadOnly] = ""
    access = owner_only()

    @before("create", "update")
    async def stamp(self, ctx: Context) -> None:
        if self.text == "refuse":
            raise Problem("conflict", "Refused by a hook.")
        self.told = f"was {ctx.previous.text}" if ctx.previous else "new"

    @before("delete")
    async def keep(self, ctx: Context) -> None:
        if self.text == "keep":
            raise Problem("conflict", "Kept by a hook.")
        await ctx.create(Limited(name=f"tombstone of {self.id}"))


RESOURCES: list[type[Resource]] = [Node, Org, Project, Ticket, Page, Limited, Worker, Stamped]


async def names(world: World, path: str, caller: Any = A) -> list[str]:
    answer = await world.ask("GET", f"{path}?limit=100&sort=id", caller)
    return [item["name"] for item in answer.json["items"]]


async def test_a_circle_of_references_can_be_deleted_and_a_long_chain_too(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES, write_timeout=60.0) as world:
        first = await world.create("/nodes", A, name="first")
        last = first
        for number in range(1_200):
            last = await world.create("/nodes", A, name=str(number), parent=last["id"])
        await world.ask("PATCH", f"/nodes/{first['id']}", A, {"parent": last["id"]})
        own = await world.create("/nodes", A, name="own")
        await world.ask("PATCH", f"/nodes/{own['id']}", A, {"parent": own["id"]})
        head = await world.bookmark()
        assert (await world.ask("DELETE", f"/nodes/{first['id']}", A)).status == 204
        assert (await world.ask("DELETE", f"/nodes/{own['id']}", A)).status == 204
        assert await names(world, "/nodes") == []
        told = [change.kind for change in await world.logged(head)]
        assert told == ["deleted"] * 1_202, "each deletion is told once, and nothing else"


async def test_what_leaves_anyway_does_not_stand_in_the_way(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        org = await world.create("/orgs", A, name="o")
        project = await world.create("/projects", A, org=org["id"])
        ticket = await world.create("/tickets", A, org=org["id"], project=project["id"])
        answer = await world.ask("DELETE", f"/projects/{project['id']}", A)
        assert (answer.status, answer.code) == (409, "still_referenced")
        assert (await world.ask("GET", f"/tickets/{ticket['id']}", A)).status == 200
        assert (await world.ask("DELETE", f"/orgs/{org['id']}", A)).status == 204
        for path in ("/projects", "/tickets"):
            assert (await world.ask("GET", path, A)).json["items"] == []


async def test_a_reference_to_what_the_caller_may_not_read_is_unknown_but_may_be_kept(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        foreign = await world.create("/nodes", B, name="b")
        answer = await world.ask("POST", "/nodes", A, {"parent": foreign["id"]})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "unknown_reference")
        own = await world.create("/nodes", A, name="a")
        system = world.app.as_system()
        record = await system.get(Node, own["id"])
        await system.update(record, parent=foreign["id"])
        whole = {"name": "renamed", "parent": foreign["id"]}
        assert (await world.ask("PUT", f"/nodes/{own['id']}", A, whole)).status == 200
        probe = await world.ask("PATCH", f"/nodes/{foreign['id']}", A, {"parent": foreign["id"]})
        assert probe.status == 422, "whether it is what the other's record holds is not told"


async def test_a_replacement_leaves_alone_what_its_caller_may_not_write(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        page = await world.create("/pages", A, title="t", slug="about")
        path = f"/pages/{page['id']}"
        assert (await world.ask("PATCH", path, EDITOR, {"approved": True, "tags": ["x"]})).status == 200
        for body in ({"title": "u"}, {"title": "v", "slug": "about", "approved": True, "tags": ["x"]}):
            answer = await world.ask("PUT", path, A, body)
            assert answer.status == 200, answer
            assert (answer.json["approved"], answer.json["tags"], answer.json["slug"]) == (True, ["x"], "about")
        for body in ({"title": "w", "approved": False}, {"title": "w", "tags": []}):
            answer = await world.ask("PUT", path, A, body)
            assert (answer.status, answer.json["errors"][0]["code"]) == (422, "unknown_field")
        answer = await world.ask("PUT", path, A, {"title": "w", "slug": "other"})
        assert answer.json["errors"][0]["code"] == "write_once"
        answer = await world.ask("PUT", path, EDITOR, {"title": "w"})
        assert (answer.json["approved"], answer.json["tags"]) == (False, [])
        assert b"hidden-secret" not in answer.body


async def test_a_condition_on_who_writes_a_field_is_asked_of_the_record_before_and_after(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        assert (await world.ask("POST", "/pages", A, {"title": "t", "state": "final"})).status == 422
        page = await world.create("/pages", A, title="t", state="review")
        path = f"/pages/{page['id']}"
        assert (await world.ask("PATCH", path, A, {"state": "final"})).status == 422
        record = await world.app.as_system().get(Page, page["id"])
        await world.app.as_system().update(record, state="final")
        assert (await world.ask("PATCH", path, A, {"state": "draft"})).status == 422
        assert (await world.ask("PATCH", path, A, {"title": "fine"})).status == 200
        assert (await world.ask("PATCH", path, B, {"state": "draft"})).status == 403
        assert (await world.ask("GET", path, A)).json["state"] == "final"


async def test_a_rule_also_holds_for_the_record_as_it_becomes(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        assert (await world.ask("POST", "/limiteds", A, {"name": "forbidden"})).status == 403
        record = await world.create("/limiteds", A, name="x")
        assert (await world.ask("PATCH", f"/limiteds/{record['id']}", A, {"name": "forbidden"})).status == 403
        assert await names(world, "/limiteds") == ["x"]


async def test_an_action_may_change_or_delete_its_own_record_by_the_context(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        worker = await world.create("/workers", A)
        path = f"/workers/{worker['id']}"
        answer = await world.ask("POST", f"{path}/by-update", A, {})
        assert (answer.status, answer.json["steps"], answer.json["name"]) == (200, 1, "also changed")
        assert (await world.ask("GET", path, A)).json == answer.json
        assert (await world.ask("POST", f"{path}/by-deletion", A, {})).status == 204
        assert (await world.ask("GET", path, A)).status == 404


async def test_what_was_refused_inside_an_action_leaves_nothing_even_when_it_is_caught(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        worker = await world.create("/workers", A)
        answer = await world.ask("POST", f"/workers/{worker['id']}/tries", A, {})
        assert answer.json == ["forbidden", "not_unique"]
        assert await world.app.as_system().count(Limited) == 1
        assert (await world.ask("POST", f"/workers/{worker['id']}/fails", A, {})).status == 409
        assert await names(world, "/limiteds") == ["fine"]


async def test_hooks_change_refuse_and_look_back_in_the_transaction(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        record = await world.create("/stampeds", A, text="one")
        path = f"/stampeds/{record['id']}"
        assert record["told"] == "new"
        assert (await world.ask("PATCH", path, A, {"text": "two"})).json["told"] == "was one"
        assert (await world.ask("PATCH", path, A, {"text": "refuse"})).status == 409
        assert (await world.ask("GET", path, A)).json["text"] == "two"
        await world.ask("PATCH", path, A, {"text": "keep"})
        assert (await world.ask("DELETE", path, A)).status == 409
        assert await names(world, "/limiteds") == []
        await world.ask("PATCH", path, A, {"text": "go"})
        assert (await world.ask("DELETE", path, A)).status == 204
        assert await names(world, "/limiteds") == [f"tombstone of {record['id']}"]


async def test_refusals_tell_of_limits_and_of_time_and_a_stale_cookie_counts_once(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES, limits=True, limit_address="100/60") as world:
        first = await world.ask("GET", "/nodes", STRANGER)
        assert first.status == 401
        assert "server-timing" in first.headers

        def left(headers: Any) -> int:
            return int(headers["ratelimit"].partition("r=")[2].partition(";")[0])

        page = {"cookie": "__Host-ramet-access=stale", "sec-fetch-site": "same-origin"}
        second = await world.ask("GET", "/pages", STRANGER, headers=page)
        assert left(first.headers) - left(second.headers) == 1
        bad = await world.ask("GET", "/nodes", STRANGER, headers={"authorization": "Bearer nonsense"})
        assert bad.status == 401
        third = await world.ask("GET", "/pages")
        assert left(second.headers) - left(third.headers) == 2


async def test_the_system_gives_records_to_whom_it_wants(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as world:
        made = await world.app.as_system().create(Node(name="given", owner=A.id))
        assert made.owner == A.id
        assert await names(world, "/nodes") == ["given"]
        record = await world.create("/nodes", A, name="own")
        assert (await world.ask("POST", "/nodes", A, {"owner": B.id})).status == 422
        assert record["owner"] == A.id
