"""An application in the process of its tests, and those who call it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from ramet.app import App
from ramet.operate.demo import fill
from ramet.operations.context import Context
from ramet.settings import Settings
from ramet.testing.answer import Answer
from ramet.testing.asgi import Life, exchange
from ramet.testing.clock import Clock
from ramet.testing.watching import Events

PASSWORD = "correct horse battery staple"
PREFIX = "/api/v1/"
QUICK: Mapping[str, Any] = {"password_memory": 8, "access_log": False, "log_level": "warning", "limits": False}
"""Settings that make tests quick: a password hash worth nothing, and no line for each request."""


class Caller:
    """Somebody who calls an application: a stranger without `token`.

    Paths are below /api/v1/ unless they start with a slash; `query` is added to them.
    """

    def __init__(self, app: App, token: str = "", id: str = "", email: str = "") -> None:
        self.app = app
        self.token = token
        self.id = id
        self.email = email

    async def get(self, path: str, query: Mapping[str, object] | None = None, **headers: str) -> Answer:
        return await self.request("GET", path, query=query, headers=headers)

    async def post(self, path: str, json: object = msgspec.UNSET, **headers: str) -> Answer:
        return await self.request("POST", path, json=json, headers=headers)

    async def patch(self, path: str, json: object, **headers: str) -> Answer:
        return await self.request("PATCH", path, json=json, headers=headers)

    async def put(self, path: str, json: object, **headers: str) -> Answer:
        return await self.request("PUT", path, json=json, headers=headers)

    async def delete(self, path: str, **headers: str) -> Answer:
        return await self.request("DELETE", path, headers=headers)

    def watch(
        self, resource: str, query: Mapping[str, object] | None = None, *, last_event_id: str = "", **headers: str
    ) -> Events:
        """Subscribes to a resource, by its address, with filters: `async with ada.watch("tasks") as events: ...`."""
        asked = {"resource": resource, **{name: str(value) for name, value in (query or {}).items()}}
        sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        if last_event_id:
            sent["last-event-id"] = last_event_id
        if self.token:
            sent.setdefault("authorization", f"Bearer {self.token}")
        return Events(self.app, PREFIX + "events", urlencode(asked), sent)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        json: object = msgspec.UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends one request and gives its answer, whatever it is. An underscore in a header's name is a hyphen."""
        sent = {name.replace("_", "-").lower(): value for name, value in (headers or {}).items()}
        if self.token:
            sent.setdefault("authorization", f"Bearer {self.token}")
        body = b""
        if json is not msgspec.UNSET:
            body = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        parts = urlsplit(path if path.startswith("/") else PREFIX + path)
        added = urlencode({name: str(value) for name, value in (query or {}).items()})
        return await exchange(self.app, method, parts.path, "&".join(filter(None, (parts.query, added))), sent, body)


class Client(Caller):
    """Runs `app` from `async with` to its end, on a database in a temporary folder; is itself a stranger to it.

    `clock` replaces the application's; with `demo` the database holds its demo data; `settings` are those of
    `ramet.Settings` by name, the rest have their defaults, whatever the environment says. One at a time for an `app`.
    """

    def __init__(self, app: App, *, clock: Clock | None = None, demo: bool = False, **settings: Any) -> None:
        super().__init__(app)
        self.clock = clock or Clock()
        self._demo = demo
        self._settings = {**QUICK, **settings}
        self._restore = app.clock

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="ramet-")
        url = f"sqlite:///{Path(self._folder.name, 'test.db')}"
        self.app.clock = self.clock
        self.app.configure(Settings.read({}, **{"database_url": url, "demo": self._demo, **self._settings}))
        self._life = Life(self.app)
        try:
            await self._life.start()
        except BaseException:
            self._leave()
            raise
        if self._demo and self.app.demo is not None:
            try:
                await fill(self.system, self.app.catalog, self.app.store, self.app.demo)
            except BaseException:
                await self.__aexit__(None, None, None)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._life.stop()
        finally:
            self._leave()

    @property
    def system(self) -> Context:
        """The system's context: reads and writes records past all rules."""
        return self.app.as_system()

    async def sign_up(self, name: str, *, roles: Sequence[str] = (), password: str = PASSWORD) -> Caller:
        """Makes a user with these roles and signs in. `name` may be an e-mail address; else one is made of it."""
        email = name if "@" in name else f"{quote(name.lower())}@example.com"
        await self.app.create_user(email, password, roles, name.partition("@")[0])
        return await self.sign_in(email, password)

    async def sign_in(self, email: str, password: str = PASSWORD) -> Caller:
        """Signs a user in. Raises AssertionError, with what the answer says, when that is refused."""
        signed_in = (await self.post("auth/sign-in", {"email": email, "password": password})).ok()
        return Caller(self.app, signed_in["access_token"], signed_in["user"]["id"], email)

    def _leave(self) -> None:
        self.app.clock = self._restore
        self._folder.cleanup()
