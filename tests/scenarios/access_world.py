"""Applications with every kind of access rule, and what their rules say of each record and caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any, Literal

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
from tests.scenarios.core_world import STRANGER, Answer, Person, World, person
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
        return field.values[number % len(field.values)]
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
