"""Every operation × every kind of caller × own and others' records, made from the catalog of each application here.

What should happen is worked out from the rules as they are written, one record at a time in plain Python. A resource
added to an application below, or a rule to a resource, is tested without a line more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest

from ramet import (
    Access,
    Context,
    Digits,
    Hidden,
    Length,
    ReadOnly,
    Ref,
    Resource,
    Unique,
    action,
    everyone,
    exists,
    me,
    nobody,
    owner_only,
    public_read,
    read_only,
    role,
    roles_only,
    signed_in,
    that,
    this,
)
from ramet.declare.catalog import BASE_FIELDS, ResourceInfo
from ramet.declare.expressions import HasRole, Rule, parts_of
from ramet.declare.fields.base import Field
from ramet.identity.service import RESOURCES
from tests.scenarios.core_world import PREFIX, STRANGER, Answer, Person, World, person, running
from tests.unit.access.world import means

SECRET = "s3cr3t"
"""Begins every text of a field that somebody may not see."""


WRITERS = exists("Member", that.vault == this.id, that.user == me.id, that.writes == True)  # noqa: E712  # a rule


class Note(Resource):
    text: str = "n"
    access = owner_only()
    cache = 300


class Shared(Resource):
    """Admins see all, only the owner and admins change."""

    title: Annotated[str, Length(1, 50)]
    token: Annotated[str, Hidden] = SECRET + "-token"
    state: Annotated[str, ReadOnly] = "new"
    access = owner_only(also=role("admin"))
    cache = 300

    @action
    async def approve(self, ctx: Context) -> Shared:
        self.state = "approved"
        return self

    @action
    @classmethod
    async def overview(cls, ctx: Context) -> dict[str, list[Shared]]:
        return {"seen": await ctx.list(cls)}


class Post(Resource):
    """Everybody reads; those with a role write all, and nobody deletes."""

    title: str
    approved: bool = False
    tags: list[str] = []
    access = Access(
        everyone,
        signed_in,
        (this.owner == me.id) | role("editor"),
        nobody,
        write_fields={"approved": role("editor"), "tags": role("editor")},
        actions={"publish": role("editor")},
    )
    cache = 300

    @action
    async def publish(self, ctx: Context) -> None:
        self.approved = True

    @action(public=True)
    async def cheer(self, ctx: Context) -> None:
        """Whoever may read it may do this."""


class Catalogue(Resource):
    name: Annotated[str, Unique]
    access = public_read(write=role("editor", "agent"))


class Payroll(Resource):
    amount: Annotated[Decimal, Digits(8, 2)] = Decimal(1)
    access = roles_only("hr")


class Bulletin(Resource):
    line: str = "b"
    access = read_only(signed_in)


class Employee(Resource):
    """Fields that only some see: for some in no record, for some in their own."""

    name: str
    salary: str = SECRET + "-salary"
    note: str = SECRET + "-note"
    grade: Literal["a", "b"] = "a"
    access = Access(
        signed_in,
        signed_in,
        (this.owner == me.id) | role("hr"),
        role("hr"),
        fields={"salary": (this.owner == me.id) | role("hr"), "note": role("hr")},
        write_fields={"grade": (this.grade == "a") | role("hr")},
    )
    search = ("name", "note")
    cache = 300


class Vault(Resource):
    """Seen by its members, who are another resource's records."""

    name: str
    code: str = SECRET + "-code"
    access = Access(
        read=(this.owner == me.id) | exists("Member", that.vault == this.id, that.user == me.id),
        update=WRITERS,
        fields={"code": (this.owner == me.id) | WRITERS},
    )
    cache = 300


class Member(Resource):
    vault: Annotated[str, Ref(Vault, on_delete="cascade")]
    user: str = ""
    writes: bool = False
    access = owner_only(also=role("admin"))


APPLICATIONS: Mapping[str, Sequence[type[Resource]]] = {
    "plain": [Note, Shared],
    "published": [Post, Catalogue, Bulletin],
    "personal": [Payroll, Employee],
    "shared": [Vault, Member],
}


def value_for(field: Field, number: int, others: Mapping[str, list[Any]]) -> Any:
    """A value that an input accepts, not the default."""
    target = getattr(field, "target", None)
    if target is not None:
        return others[target][number % len(others[target])].id
    values = {"text": f"{field.name}-{number}", "boolean": True, "integer": number, "decimal": Decimal(number)}
    if field.kind == "enumeration":
        return field.values[number % len(field.values)]  # type: ignore[attr-defined]  # an Enumeration has them
    return ["t"] if field.kind == "list" else values[field.column]


def roles_of(catalog: Sequence[ResourceInfo]) -> list[str]:
    """Every role that a rule names."""

    def named(rule: Rule) -> Iterator[str]:
        if isinstance(rule, HasRole):
            yield from rule.names
        for part in parts_of(rule):
            yield from named(part)

    found: set[str] = set()
    for info in catalog:
        access = info.access
        groups = (access.fields, access.write_fields, access.actions)
        rules = [
            access.read,
            access.create,
            access.update,
            access.delete,
            *(r for group in groups for r in group.values()),
        ]
        found.update(name for rule in rules for name in named(rule))
    return sorted(found)


class Matrix:
    """One application with two owners' records, and what the rules say of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.infos = [info for info in world.app.catalog if info.cls not in RESOURCES]
        self.system = world.app.as_system()
        self.owners = (person(1), person(2))
        special = [person(10 + n, name) for n, name in enumerate(sorted({*roles_of(self.infos), "admin"}))]
        self.callers = [STRANGER, *self.owners, person(3), *special]
        self.records: dict[str, list[Any]] = {}
        self.number = 0

    async def seed(self) -> None:
        """Records of both owners, oldest targets first; members join each owner's vault in both ways."""
        for info in self.infos:
            self.records[info.name] = []
            for owner in self.owners:
                for _ in range(2):
                    self.records[info.name].append(await self.make(info, owner))

    async def make(self, info: ResourceInfo, owner: Person) -> Any:
        self.number += 1
        fields = {
            name: value_for(field, self.number, self.records)
            for name, field in info.fields.items()
            if name not in BASE_FIELDS and (field.required or name == "writes")
        }
        if "user" in info.fields:
            fields["user"] = person(3).id if self.number % 2 else self.owners[0].id
            fields["writes"] = self.number % 4 < 2
        return await self.system.create(info.cls(owner=owner.id, **fields))

    async def reload(self) -> None:
        """The records as they are stored now."""
        for info in self.infos:
            self.records[info.name] = await self.system.list(info.cls, sort="id", limit=1_000)

    def holds(self, rule: Rule, record: Any, caller: Person) -> bool:
        asks: Any = SimpleNamespace(id=caller.id, roles=frozenset(caller.roles))
        return means(rule, (record,), asks, self.records)

    def readable(self, info: ResourceInfo, caller: Person) -> list[Any]:
        return [record for record in self.records[info.name] if self.holds(info.access.read, record, caller)]

    def sees(self, info: ResourceInfo, name: str, record: Any, caller: Person) -> bool:
        rule = info.access.fields.get(name)
        return rule is None or self.holds(rule, record, caller)

    def check_shown(self, info: ResourceInfo, shown: Mapping[str, Any], record: Any, caller: Person) -> None:
        """Hidden fields are never there, masked ones only for those who may see them."""
        assert shown["id"] == record.id
        for name, field in info.fields.items():
            if field.marks.hidden:
                assert name not in shown
            elif not self.sees(info, name, record, caller):
                assert shown.get(name) is None
        assert set(shown) <= set(info.fields)

    def check_secrets(self, info: ResourceInfo, answer: Answer, records: Sequence[Any], caller: Person) -> None:
        """No text that the caller may not see of any of the records is anywhere in the answer."""
        for name, field in info.fields.items():
            secret = f"{SECRET}-{name}".encode()
            if field.marks.hidden or not any(self.sees(info, name, record, caller) for record in records):
                assert secret not in answer.body

    async def ask(self, caller: Person, method: str, path: str, body: object = None) -> Answer:
        answer = await self.world.ask(method, f"/{path}", caller, body)
        if answer.code:
            assert SECRET.encode() not in answer.body
        return answer


def refusal(caller: Person, visible: bool) -> tuple[int, ...]:
    """What a refusal may be: never 403 for what the caller may not read, and strangers are asked to sign in."""
    if caller.id is None:
        return (401, 403) if visible else (401, 404)
    return (403,) if visible else (404,)


Check = Callable[[Matrix, ResourceInfo, Person], Any]


async def lists(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    expected = {record.id: record for record in matrix.readable(info, caller)}
    for _ in range(2):  # the second from the cache, where there is one
        answer = await matrix.ask(caller, "GET", info.path + "?limit=100")
        if answer.status != 200:
            assert answer.status == (401 if caller.id is None else 403)
            assert not expected
            return
        shown = {item["id"]: item for item in answer.json["items"]}
        assert shown.keys() == expected.keys()
        for record_id, item in shown.items():
            matrix.check_shown(info, item, expected[record_id], caller)
        matrix.check_secrets(info, answer, list(expected.values()), caller)
    count = (await matrix.ask(caller, "GET", info.path + "?limit=1&count=exact")).json["count"]
    assert count == len(expected)


async def masked_fields(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    """A field that is closed to the caller in some record can't be filtered, sorted or searched by."""
    if not matrix.readable(info, caller):
        return
    for name in info.access.fields:
        closed = not all(matrix.sees(info, name, record, caller) for record in matrix.records[info.name])
        for query in (f"{name}={SECRET}-{name}", f"{name}[starts]={SECRET}", f"sort=-{name}"):
            answer = await matrix.ask(caller, "GET", f"{info.path}?{query}")
            assert answer.status == (400 if closed else 200), (query, answer)
        readable = {record.id: record for record in matrix.readable(info, caller)}
        answer = await matrix.ask(caller, "GET", f"{info.path}?fields=id,{name}")
        if any(matrix.sees(info, name, record, caller) for record in readable.values()):
            for item in answer.json["items"]:
                matrix.check_shown(info, item, readable[item["id"]], caller)
        else:
            assert f"{SECRET}-{name}".encode() not in answer.body
        if name in info.search:
            answer = await matrix.ask(caller, "GET", f"{info.path}?q={SECRET}")
            assert answer.status == (400 if closed else 200)


async def gets(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    for record in matrix.records[info.name]:
        answer = await matrix.ask(caller, "GET", f"{info.path}/{record.id}")
        if matrix.holds(info.access.read, record, caller):
            assert answer.status == 200
            matrix.check_shown(info, answer.json, record, caller)
            matrix.check_secrets(info, answer, [record], caller)
        else:
            assert answer.status in refusal(caller, visible=False)


async def creates(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    matrix.number += 1
    body = {
        name: str(value) if isinstance(value, Decimal) else value
        for name, field in info.fields.items()
        if name in info.inputs.writable and field.required
        for value in [value_for(field, matrix.number, matrix.records)]
    }
    seen = all(
        any(
            record.id == body.get(name) for record in matrix.readable(matrix.world.app.catalog.of(field.target), caller)
        )
        for name, field in info.references.items()
        if name in body
    )
    would_be = info.cls(owner=caller.id, **body)
    allowed = matrix.holds(info.access.create, would_be, caller)
    answer = await matrix.ask(caller, "POST", info.path, body)
    before = len(matrix.records[info.name])
    await matrix.reload()
    if allowed and seen:
        assert answer.status == 201, answer
        assert len(matrix.records[info.name]) == before + 1
        (made,) = [record for record in matrix.records[info.name] if record.id == answer.json["id"]]
        assert made.owner == caller.id
        matrix.check_shown(info, answer.json, made, caller)
        matrix.check_secrets(info, answer, [made], caller)
    else:
        assert answer.status in ((401,) if caller.id is None else (403,) if seen else (403, 422)), answer
        assert len(matrix.records[info.name]) == before


async def changes(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    """PATCH of each field by itself, and PUT of what the caller sees, on each record."""
    for record in matrix.records[info.name]:
        for name in info.inputs.changeable:
            matrix.number += 1
            if name in info.references:
                continue
            value = value_for(info.fields[name], matrix.number, matrix.records)
            body = {name: str(value) if isinstance(value, Decimal) else value}
            await one_change(matrix, info, caller, record.id, "PATCH", body)
        if info.access.read != nobody and matrix.holds(info.access.read, record, caller):
            whole = (await matrix.ask(caller, "GET", f"{info.path}/{record.id}")).json
            body = {name: whole[name] for name in info.inputs.writable if whole.get(name) is not None}
            await one_change(matrix, info, caller, record.id, "PUT", body)


async def one_change(
    matrix: Matrix, info: ResourceInfo, caller: Person, record_id: str, method: str, body: Mapping[str, Any]
) -> None:
    (before,) = [record for record in matrix.records[info.name] if record.id == record_id]
    visible = matrix.holds(info.access.read, before, caller)
    allowed = matrix.holds(info.access.update, before, caller)
    answer = await matrix.ask(caller, method, f"{info.path}/{record_id}", body)
    await matrix.reload()
    (after,) = [record for record in matrix.records[info.name] if record.id == record_id]
    changed = [name for name in info.inputs.writable if getattr(before, name) != getattr(after, name)]
    rules = info.access.write_fields
    for name in changed:
        assert name not in rules or matrix.holds(rules[name], before, caller), name
    if answer.status == 200:
        assert allowed
        assert method == "PATCH" or not changed, "a replacement by what was read changes nothing"
        matrix.check_shown(info, answer.json, after, caller)
        matrix.check_secrets(info, answer, [after], caller)
        return
    assert after == before
    if allowed:
        wrong = [name for name in body if name in rules and not matrix.holds(rules[name], before, caller)]
        later = dict.fromkeys(body)
        assert answer.status == 422, (answer, body)
        assert wrong or any(name in rules for name in later)
    else:
        # An input with fields that are closed to the caller is refused for what it is.
        closed = any(name in rules for name in body)
        assert answer.status in (*refusal(caller, visible), *((422,) if closed else ())), (answer, body)


async def acts(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    for name, act in info.actions.items():
        if act.on_collection:
            answer = await matrix.ask(caller, "POST", f"{info.path}/{name}")
            allowed = matrix.holds(info.access.action(name, on_collection=True), None, caller)
            assert answer.status == (200 if allowed else 401 if caller.id is None else 403)
            matrix.check_secrets(info, answer, matrix.readable(info, caller), caller)
            continue
        for record in list(matrix.records[info.name]):
            answer = await matrix.ask(caller, "POST", f"{info.path}/{record.id}/{name}")
            visible = matrix.holds(info.access.read, record, caller)
            rule = info.access.read if act.public else info.access.action(name)
            if matrix.holds(rule, record, caller):
                assert answer.status in (200, 204), answer
                if answer.body:
                    matrix.check_secrets(info, answer, [record], caller)
            else:
                assert answer.status in refusal(caller, visible)
        await matrix.reload()


async def deletes(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    for owner in matrix.owners:
        record = await matrix.make(info, owner)
        await matrix.reload()
        visible = matrix.holds(info.access.read, record, caller)
        allowed = matrix.holds(info.access.delete, record, caller)
        answer = await matrix.ask(caller, "DELETE", f"{info.path}/{record.id}")
        await matrix.reload()
        there = any(one.id == record.id for one in matrix.records[info.name])
        if allowed:
            assert (answer.status, there) == (204, False)
        else:
            assert answer.status in refusal(caller, visible)
            assert there


CHECKS: Mapping[str, Check] = {
    "list": lists,
    "masked": masked_fields,
    "get": gets,
    "create": creates,
    "change": changes,
    "act": acts,
    "delete": deletes,
}


@pytest.mark.parametrize("application", APPLICATIONS)
@pytest.mark.parametrize("operation", CHECKS)
async def test_every_caller_gets_what_the_rules_give_and_nothing_else(
    tmp_path: Path, application: str, operation: str
) -> None:
    async with running(tmp_path / "data.db", APPLICATIONS[application]) as world:
        matrix = Matrix(world)
        await matrix.seed()
        await matrix.reload()
        for info in matrix.infos:
            for caller in matrix.callers:
                await CHECKS[operation](matrix, info, caller)
        log = [change.record or b"" for change in world.app.store.changes.after(0, 100_000)]
        for info in matrix.infos:
            for name, field in info.fields.items():
                if field.marks.hidden:
                    assert not any(f"{SECRET}-{name}".encode() in record for record in log)


def test_every_declared_operation_has_a_check() -> None:
    """A new kind of operation cannot be forgotten here."""
    declared = {kind for resources in APPLICATIONS.values() for cls in resources for kind in cls.operations}
    assert declared == {"list", "get", "create", "update", "delete"}
    assert PREFIX == "/api/v1"
