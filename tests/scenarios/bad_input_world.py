"""An application with every kind of field, rule and action, right requests for its operations, and what it stores."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import httpx
import msgspec

from ramet import (
    Access,
    App,
    Context,
    Digits,
    Email,
    Hidden,
    Items,
    Json,
    Length,
    Pattern,
    Range,
    ReadOnly,
    Ref,
    Resource,
    Settings,
    Unique,
    Url,
    WriteOnce,
    action,
    owner_only,
    role,
    this,
)
from ramet.declare.fields.base import Field
from ramet.declare.fields.enumeration import Enumeration
from ramet.declare.fields.reference import Reference
from ramet.errors import ERRORS
from ramet.interfaces.rest.routes import Routes, Target
from tests import databases, instances

PASSWORD = "correct horse battery"
UNKNOWN = "01932c5e-7a4b-7c3d-9f21-5b8e0a6d4c17"


Length10 = Annotated[str, Length(max=10)]


class Shelf(Resource):
    """What books stand on."""

    name: Annotated[str, Length(1, 50), Unique]
    colour: Literal["red", "green"] = "red"
    access = owner_only()
    path = "shelves"
    search = ("name",)
    cache = 60


class Book(Resource):
    """One field of every kind."""

    shelf: Annotated[str, Ref(Shelf, on_delete="cascade")]
    title: Annotated[str, Length(2, 80)]
    lent_to: Annotated[str, Ref("Book", on_delete="null")] | None = None
    code: Annotated[str, Pattern("[A-Z]{2}-[0-9]+"), WriteOnce] = "AA-1"
    pages: Annotated[int, Range(1, 5_000)] = 1
    big: int = 0
    weight: Annotated[float, Range(0, 100)] = 1.0
    price: Annotated[Decimal, Digits(6, 2), Range(min=0)] = Decimal(1)
    read: bool = False
    published: date | None = None
    due_at: datetime | None = None
    state: Literal["new", "old"] = "new"
    mail: Email | None = None
    site: Url | None = None
    meta: Json = None
    tags: Annotated[list[Annotated[str, Length(1, 10)]], Items(3)] = []
    counted: Annotated[int, ReadOnly] = 0
    secret: Annotated[str, Hidden] = ""
    note: str = ""
    access = Access(fields={"note": role("editor")}, write_fields={"note": role("editor")}, update=this.read == False)  # noqa: E712 - a rule, not a truth
    require_match = True

    @action
    async def stamp(self, ctx: Context, times: Annotated[int, Range(1, 9)], reason: Length10 = "") -> Book:
        """Counts."""
        self.counted += times
        return self

    @action(transaction=False)
    @classmethod
    async def estimate(cls, ctx: Context, price: Annotated[Decimal, Digits(6, 2)], at: datetime) -> int:
        """Estimates slowly."""
        return int(price)

    @action(reads=True)
    @classmethod
    async def tally(cls, ctx: Context, state: Literal["new", "old"], least: Annotated[int, Range(0, 9)] = 0) -> int:
        """Counts books of a state."""
        return await ctx.count(cls, state=state)


app = App(resources=[Shelf, Book])


class Call(NamedTuple):
    """A request; `body` is sent as JSON unless it is bytes or left out."""

    method: str
    path: str
    body: Any = msgspec.UNSET
    headers: Mapping[str, str | bytes] = {}
    label: str = ""


class World:
    """A running application, whoever runs it, with a user who owns one record of each resource, and another user."""

    def __init__(self, application: App, http: httpx.AsyncClient, database: Path) -> None:
        self.app = application
        self.http = http
        self.database = database
        self.routes = Routes(application.catalog)
        self.ids: dict[str, str] = {}
        self.token = self.refresh = self.stranger = ""

    async def settle(self) -> None:
        """Registers both users and stores the records."""
        self.token, self.refresh, self.ids["User"], self.ids["Session"] = await self._join("ann@example.org")
        self.stranger = (await self._join("bob@example.org"))[0]
        for name in ("Shelf", "Book"):
            made = await self.send(Call("POST", f"/api/v1/{self.path(name)}", self.right(name)))
            assert made.status_code == 201, made.text
            self.ids[name] = made.json()["id"]

    async def _join(self, email: str) -> tuple[str, str, str, str]:
        body = {"email": email, "password": PASSWORD}
        await self.send(Call("POST", "/api/v1/auth/register", body))
        answer = (await self.send(Call("POST", "/api/v1/auth/sign-in", body))).json()
        return answer["access_token"], answer["refresh_token"], answer["user"]["id"], answer["session"]

    def path(self, name: str) -> str:
        return str(self.app.catalog.by_name[name].path)

    def right(self, name: str) -> dict[str, Any]:
        """Right values for every field that a create of the resource takes."""
        info = self.app.catalog.by_name[name]
        shown = (
            field for key, field in info.fields.items() if key in info.inputs.writable and key not in info.access.fields
        )
        return {field.name: self.value(field) for field in shown}

    def value(self, field: Field) -> Any:
        """A right value of a field."""
        if isinstance(field, Reference):
            return self.ids.get(field.target) if not field.optional else None
        if "password" in field.name:
            return PASSWORD
        if isinstance(field, Enumeration):
            return field.values[0]
        return TEXTS.get(field.name, "Good text") if field.kind == "text" else RIGHT[field.kind]

    def address(self, target: Target) -> str:
        return target.path.replace("{id}", self.ids[target.info.name])

    def call(self, target: Target) -> Call:
        """A right request for an operation."""
        headers = {"if-match": '"1"'} if target.info.require_match and "{id}" in target.path else {}
        query = "?state=new" if target.action is not None and target.action.reads else ""
        return Call(target.method, self.address(target) + query, self.body(target), headers, target.name)

    def body(self, target: Target) -> Any:
        info, act = target.info, target.action
        if target.kind in ("create", "replace"):
            return self.right(info.name)
        if target.kind == "update":
            right = self.right(info.name)
            return {name: right[name] for name in info.inputs.changeable if name in right}
        if act is not None and act.fields and not act.reads:
            return {name: self.value(field) for name, field in act.fields.items()}
        return msgspec.UNSET

    def input_fields(self, target: Target) -> dict[str, Field]:
        """The fields of an operation's body."""
        body = self.body(target)
        if body is msgspec.UNSET:
            return {}
        fields = target.info.fields if target.action is None else target.action.fields
        return {name: fields[name] for name in body}

    async def send(self, call: Call, token: str | None = None) -> httpx.Response:
        bearer = self.token if token is None else token
        headers: dict[str, Any] = {"authorization": f"Bearer {bearer}"} if bearer else {}
        content = None
        if call.body is not msgspec.UNSET:
            content = call.body if isinstance(call.body, bytes) else json.dumps(call.body).encode()
            headers["content-type"] = "application/json"
        headers.update(call.headers)
        return await self.http.request(call.method, call.path, headers=headers, content=content)

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table that requests can change."""
        found = databases.rows(self.database)
        return {name: rows for name, rows in found.items() if name not in ("ramet_facts", "ramet_followers")}


RIGHT: Mapping[str, Any] = {
    "integer": 2,
    "float": 2.5,
    "decimal": "2.50",
    "boolean": False,
    "date": "2026-01-31",
    "datetime": "2026-01-31T12:00:00Z",
    "email": "carl@example.org",
    "url": "https://example.org/",
    "json": {"a": [1]},
    "list": ["a"],
}
TEXTS = {"code": "AB-12", "refresh_token": "rt_x"}


def wrong(call: Call, answer: httpx.Response, *statuses: int) -> str:
    """What is not right about a refusal, or nothing: it must be a problem of the table, and none of ours."""
    asked = f"{call.label} {call.method} {call.path[:120]} {str(call.body)[:120]}"
    where = f"{asked} -> {answer.status_code} {answer.text[:300]}"
    if not 400 <= answer.status_code < 500 or (statuses and answer.status_code not in statuses):
        return where
    if call.method == "HEAD":
        return ""
    if answer.headers.get("content-type") != "application/problem+json":
        return f"no problem: {where}"
    document = answer.json()
    kind = ERRORS.get(document["code"])
    if kind is None or kind.status != answer.status_code or not document["detail"] or "Traceback" in answer.text:
        return f"not of the table: {where}"
    return ""


async def refuse_all(world: World, calls: Iterator[Call], *statuses: int, token: str | None = None) -> int:
    """Sends requests that all must be refused and change nothing; how many there were."""
    before = world.stored()
    failed = []
    number = 0
    for call in calls:
        number += 1
        answer = await world.send(call, token)
        if found := wrong(call, answer, *statuses):
            failed.append(found)
    assert failed == [], "\n".join(failed[:20])
    assert world.stored() == before
    assert number > 0
    return number


@asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[World]:
    """The application in this process, over ASGI."""
    application = instances.application(resources=[Shelf, Book])
    database = databases.address(folder / "bad.db", [Shelf, Book])
    quick = {"password_memory": 8, "limits": False, "access_log": False, "log_level": "error", "body_limit": 200_000}
    application.configure(Settings.read({}, database_url=database, **quick))
    async with _started(application):
        transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            world = World(application, http, database)
            await world.settle()
            yield world


@asynccontextmanager
async def _started(application: App) -> AsyncIterator[None]:
    await application.startup()
    try:
        yield
    finally:
        await application.shutdown()
