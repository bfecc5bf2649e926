"""An application that is started again, tried again, or told to stop before it could begin."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from ramet import App, Resource, owner_only
from ramet.errors import Problem
from ramet.identity.service import Identity
from ramet.interfaces.front import Mounts
from ramet.interfaces.pages import waiting
from ramet.observe import RequestDone
from ramet.operate.exporter import Exporter
from ramet.settings import Settings
from ramet.testing.asgi import exchange
from tests.process.copies import until

HEALTH = "/health/ready"


class Task(Resource):
    title: str = ""

    access = owner_only()


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = App(resources=[Task])
    app.configure(Settings.read({}, database_url=f"sqlite:///{tmp_path / 'data.db'}", password_memory=8))
    assert app.has_schema(app._settings or Settings())
    return app


@pytest.fixture
def refused(app: App, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The database goes away as the application begins, twice; how often it was tried."""
    tries: list[int] = []
    start = Identity.start

    async def begin(self: Identity, *given: Any) -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise Problem("unavailable", "The database does not answer.", retry_after=1)
        await start(self, *given)

    monkeypatch.setattr(Identity, "start", begin)
    monkeypatch.setattr(waiting, "PAUSE", 0.01)
    return tries


async def test_what_was_tried_again_is_logged_and_counted_once(
    app: App, refused: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    await app.startup()
    await until(lambda: app._running)
    await exchange(app, "GET", "/api/v1/nothing", "", {}, b"")
    await app.shutdown()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(refused) == 3
    assert len([line for line in lines if line.get("path") == "/api/v1/nothing"]) == 1
    assert [line["event"] for line in lines if line["event"] in ("ready", "stopped")] == ["ready", "stopped"]


async def test_what_was_stopped_writes_nothing_more(app: App, tmp_path: Path) -> None:
    await app.startup()
    sink: Any = app.watch.logs._sink
    descriptor = sink._fd
    await app.shutdown()
    assert not app.observer.wants(RequestDone)
    others = [os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)]
    try:
        while others[-1] < descriptor:
            others.append(os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT))
        assert descriptor in others
        await app.startup()
        await exchange(app, "GET", "/api/v1/nothing", "", {}, b"")
        await app.shutdown()
        assert (tmp_path / "other").read_bytes() == b""
    finally:
        for other in others:
            os.close(other)


async def test_what_is_mounted_is_started_with_each_life(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when what comes after it failed the first time."""
    lives: list[str] = []

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        lives.append("begun")
        yield
        lives.append("ended")

    app._mounts = Mounts({"/site": Starlette(lifespan=life)})
    start = Exporter.start

    async def away(self: Exporter) -> None:
        monkeypatch.setattr(Exporter, "start", start)
        raise Problem("unavailable", "The database does not answer.", retry_after=1)

    monkeypatch.setattr(Exporter, "start", away)
    monkeypatch.setattr(waiting, "PAUSE", 0.01)
    await app.startup()
    await until(lambda: app._running)
    assert lives == ["begun", "ended", "begun"]
    await app.shutdown()
    await app.startup()
    await app.shutdown()
    assert lives == ["begun", "ended"] * 3


async def test_a_watch_that_cannot_be_made_leaves_nothing_behind(app: App, tmp_path: Path) -> None:
    (tmp_path / "metrics").touch()
    app.configure(msgspec.structs.replace(app._settings or Settings(), run_dir=str(tmp_path)))
    with pytest.raises(FileExistsError):
        await app.startup()
    assert not app.observer.wants(RequestDone)


async def test_one_that_is_told_to_stop_before_it_could_begin_may_be_started_again(
    app: App, refused: list[int]
) -> None:
    await app.startup()
    await app.drain()
    await app.shutdown()
    refused.extend(range(3))
    await app.startup()
    assert (await exchange(app, "GET", HEALTH, "", {}, b"")).status == 200
    await app.shutdown()


async def test_one_that_is_told_to_stop_before_it_could_begin_takes_nothing_on(app: App, refused: list[int]) -> None:
    await app.startup()
    await app.drain()
    await until(lambda: app._running)
    answer = await exchange(app, "GET", HEALTH, "", {}, b"")
    assert answer.status == 503
    assert app.realtime.streams._draining
    await app.shutdown()
    await app.startup()
    assert (await exchange(app, "GET", HEALTH, "", {}, b"")).status == 200
    await app.shutdown()
