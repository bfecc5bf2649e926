"""A small application on a real file, a clock that stands until it is moved, and people who sign in to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from ramet import App, Resource, Settings, owner_only, role
from ramet.interfaces.transport.lifespan import Lifespan
from ramet.observe import SessionRevoked, SignInFailed
from tests import instances
from tests.databases import address

PASSWORD = "correct horse battery"
OTHER = "staple of the battery"
START = 1_800_000_000_000_000
PREFIX = "/api/v1"
PAGE = {"sec-fetch-site": "same-origin"}


class Note(Resource):
    """What the tests read and write beside identity; lists are kept in the near cache."""

    text: str
    access = owner_only(also=role("admin"))
    cache = 300


class Clock:
    """Microseconds since 1970."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)


class World:
    """One running application and what it told of refused sign-ins and ended sessions."""

    def __init__(self, app: App, clock: Clock, http: httpx.AsyncClient) -> None:
        self.app = app
        self.clock = clock
        self.http = http
        self.refused: list[str] = []
        self.revoked: list[tuple[str, str]] = []
        app.observer.subscribe(SignInFailed, lambda event: self.refused.append(event.reason))
        app.observer.subscribe(SessionRevoked, lambda event: self.revoked.append((event.session, event.reason)))

    async def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = await self.http.request(method, PREFIX + path, headers=headers, **more)
        assert answer.status_code < 500, answer.text
        return answer

    async def post(self, path: str, token: str | None = None, **body: Any) -> httpx.Response:
        return await self.ask("POST", path, token, json=body)

    async def register(self, email: str, password: str = PASSWORD) -> None:
        assert (await self.post("/auth/register", email=email, password=password)).status_code == 202

    async def sign_in(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        answer = await self.post("/auth/sign-in", email=email, password=password)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def join(self, email: str = "ann@example.org") -> dict[str, Any]:
        """A new user's first sign-in."""
        await self.register(email)
        return await self.sign_in(email)

    async def admin(self) -> str:
        """The access token of a new administrator."""
        await self.app.identity.create_user("root@example.org", PASSWORD, ["admin"])
        return str((await self.sign_in("root@example.org"))["access_token"])

    async def refresh(self, token: str) -> httpx.Response:
        return await self.post("/auth/refresh", refresh_token=token)

    async def code(self, token: str, path: str = "/users/me") -> str:
        """How a request with an access token ends: `ok`, or the problem's code."""
        await instances.told(self.app)
        answer = await self.ask("GET", path, token)
        return "ok" if answer.status_code == 200 else str(answer.json()["code"])


def settings_of(folder: Path, **changes: Any) -> Settings:
    base: dict[str, Any] = {
        "database_url": address(folder / "data.db", [Note]),
        "password_memory": 8,
        "limits": False,
        "log_level": "error",
        "public_url": "https://app.test" if instances.TOPOLOGY else "",  # who is behind a proxy does not see it
    }
    return Settings.read({}, **{**base, **changes})


@asynccontextmanager
async def running(folder: Path, clock: Clock | None = None, **changes: Any) -> AsyncIterator[World]:
    """An application on the file in `folder`, from start to stop."""
    clock = clock or Clock()
    app = instances.application(resources=[Note], clock=clock)
    app.configure(settings_of(folder, **changes))
    lifespan = Lifespan(app)
    await lifespan.startup()
    try:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="https://app.test") as http:
            yield World(app, clock, http)
    finally:
        await lifespan.shutdown()
