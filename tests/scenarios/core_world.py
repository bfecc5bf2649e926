"""An application on a real file, called over ASGI in this process, by callers whose tokens need no sign-in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from ramet import App, Resource, Settings
from ramet.changes.change import Change
from tests import instances
from tests.databases import address

START = 1_800_000_000_000_000
PREFIX = "/api/v1"


class Clock:
    """Microseconds since 1970, which stand until they are moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)


class Person(NamedTuple):
    """A caller: `id` None is a stranger."""

    id: str | None
    roles: tuple[str, ...] = ()


STRANGER = Person(None)


def person(number: int, *roles: str) -> Person:
    """A signed-in caller; equal numbers are the same user."""
    return Person(str(UUID(int=number + 1)), roles)


class Answer(NamedTuple):
    """A response; `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem; empty for anything else."""
        return str(self.json["code"]) if self.headers.get("content-type") == "application/problem+json" else ""


class World:
    """One running application."""

    def __init__(self, app: App, clock: Clock) -> None:
        self.app = app
        self.clock = clock
        self._tokens: dict[Person, str] = {}

    def token(self, caller: Person) -> str:
        known = self._tokens.get(caller)
        if known is None:
            assert caller.id is not None
            known = self._tokens[caller] = self.app.identity.tokens.mint(
                user=caller.id, session=caller.id, roles=caller.roles, now=self.clock.now / 1e6
            )
        return known

    async def ask(
        self,
        method: str,
        path: str,
        caller: Person = STRANGER,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        allow_failure: bool = False,
    ) -> Answer:
        """One request; `path` is below /api/v1. Any 5xx fails the test unless `allow_failure`."""
        sent = {"host": "test", **(headers or {})}
        if caller.id is not None:
            sent["authorization"] = f"Bearer {self.token(caller)}"
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        if content:
            sent.setdefault("content-type", "application/json")
        answer = await call(self.app, method, PREFIX + path, sent, content)
        assert allow_failure or answer.status < 500, answer
        return answer

    async def bookmark(self) -> str:
        """The place in the log after all that was logged up to now."""
        rows, bookmark = await self.app.store.changes.page("", 100_000)
        return (await self.app.store.changes.page(bookmark, 1))[1] if rows else bookmark

    async def logged(self, bookmark: str = "") -> Sequence[Change]:
        """The rows of the log beyond a bookmark."""
        return (await self.app.store.changes.page(bookmark, 100_000))[0]

    async def create(self, path: str, caller: Person, **fields: Any) -> dict[str, Any]:
        answer = await self.ask("POST", path, caller, fields)
        assert answer.status == 201, answer
        record: dict[str, Any] = answer.json
        return record


async def call(app: App, method: str, target: str, headers: Mapping[str, str], content: bytes) -> Answer:
    """One ASGI request."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 5000),
        "server": ("test", 80),
    }
    inbox = [{"type": "http.request", "body": content, "more_body": False}, {"type": "http.disconnect"}]
    outbox: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return inbox.pop(0)

    async def send(message: dict[str, Any]) -> None:
        outbox.append(message)

    await app(scope, receive, send)
    received = {name.decode(): value.decode() for name, value in outbox[0]["headers"]}
    return Answer(outbox[0]["status"], received, b"".join(message.get("body", b"") for message in outbox[1:]))


@asynccontextmanager
async def running(
    path: Path, resources: Sequence[type[Resource]], clock: Clock | None = None, parts: Sequence[Any] = (), **more: Any
) -> AsyncIterator[World]:
    """An application on the database at `path`. `more` are settings."""
    clock = clock or Clock()
    app = instances.application(resources=resources, clock=clock, parts=parts)
    given = {"password_memory": 8, "access_log": False, "log_level": "error", "limits": False, **more}
    app.configure(Settings.read({}, database_url=address(path, resources), **given))
    await app.startup()
    try:
        yield World(app, clock)
    finally:
        await app.shutdown()
