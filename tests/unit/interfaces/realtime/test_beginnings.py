"""Subscriptions that something befalls while they begin: none stays behind that is never told anything, or too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS
from ramet.interfaces.realtime.live import Connection
from ramet.limits.addresses import ClientAddress
from ramet.testing import Client
from ramet.testing.asgi import scope_of
from tests.scenarios.realtime_world import running

ADDRESS = ClientAddress("192.0.2.4", "192.0.2.4")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(tmp_path) as found:
        yield found


class Outlet:
    """What a client got, as text."""

    gone = None
    measured = True

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data.decode())

    def pending(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    async def flushed(self) -> None:
        pass


class Socket:
    """Gives these messages, and then leaves."""

    def __init__(self, *messages: str) -> None:
        self._messages = list(messages)

    async def receive(self) -> str | None:
        return self._messages.pop(0) if self._messages else None


@pytest.fixture
def silenced(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """What was missed cannot be read, for this reason."""
    reason = [Problem("overloaded", "Every connection is in use.", retry_after=1)]

    async def fails(mark: str, limit: int) -> None:
        raise reason[0]

    monkeypatch.setattr(client.app.core.store.changes, "replay", fails)
    return reason


async def seen(caller: Any) -> str:
    async with caller.watch("tasks") as events:
        await events.next()
        return str(events.last)


async def test_a_stream_whose_past_cannot_be_read_ends_and_says_why(
    client: Client, request: pytest.FixtureRequest
) -> None:
    ada = await client.sign_up("ada")
    mark = await seen(ada)
    request.getfixturevalue("silenced")
    async with ada.watch("tasks", last_event_id=mark) as events:
        (end,) = await events.rest()
    assert (end.kind, end.data["reason"]) == ("end", "overloaded")
    assert (len(client.app.realtime.streams), client.app.realtime.streams.places.current) == (0, 0)
    assert client.app.realtime.streams.hub.views == 0


async def test_where_it_will_never_be_read_the_list_is_to_be_read_again(
    client: Client, request: pytest.FixtureRequest
) -> None:
    ada = await client.sign_up("ada")
    mark = await seen(ada)
    request.getfixturevalue("silenced")[:] = [Problem("query_too_costly")]
    async with ada.watch("tasks", last_event_id=mark) as events:
        told = await events.next()
        assert (told.kind, told.data["reason"]) == ("reload", "expired")
        await ada.post("tasks", {"title": "x"})
        assert (await events.next()).kind == "created"


async def test_a_subscription_whose_past_cannot_be_read_leaves_its_name_free(
    client: Client, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    ada = await client.sign_up("ada")
    mark = await seen(ada)
    realtime, outlet = client.app.realtime, Outlet()
    realtime.streams.enter(None, ADDRESS)
    caller = client.app.identity.verifier.verify(ada.token)
    connection = Connection(realtime.streams, outlet, caller, ADDRESS, "r", (ada.token, "bearer"))
    ask = f'{{"type":"subscribe","subscription":"a","query":"resource=tasks","last_event_id":"{mark}"}}'
    request.getfixturevalue("silenced")
    await realtime.sockets._live.serve(connection, Socket(ask))
    assert connection.subscriptions == {}
    monkeypatch.undo()
    await realtime.sockets._live.serve(connection, Socket(ask))
    await ada.post("tasks", {"title": "x"})
    await realtime.streams.hub.settled()
    connection.finish("shutdown")
    kinds = [text.split('"type":"')[1].split('"')[0] for text in outlet.sent]
    assert kinds == ["error", "ready", "event", "end"], outlet.sent


async def test_who_signs_out_while_a_subscription_begins_hears_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await client.sign_up("ada")
    task = (await ada.post("tasks", {"title": "one"})).ok()["id"]
    store, fetch = client.app.core.store, client.app.core.store.fetch
    asked, go = asyncio.Event(), asyncio.Event()

    async def slowly(statement: Any, values: Any) -> Any:
        rows = await fetch(statement, values)
        if values.get("id") == task and not asked.is_set():
            asked.set()
            await go.wait()
        return rows

    monkeypatch.setattr(store, "fetch", slowly)
    watching = ada.watch("tasks", {"id": task})
    opening = asyncio.ensure_future(watching.__aenter__())
    await asked.wait()
    assert (await ada.post("auth/sign-out", {})).status == 204
    await client.app.realtime.streams.hub.settled()
    go.set()
    events = await opening
    try:
        tasks = client.app.catalog.by_path["tasks"].cls
        await client.system.update(await client.system.find(tasks, task), title="secret")
        told = await events.rest()
    finally:
        await watching.__aexit__(None, None, None)
    assert [event.kind for event in told if event.kind != "ready"] == ["end"]


async def test_one_that_took_its_place_before_a_drain_is_ended_too(client: Client) -> None:
    streams, outlet = client.app.realtime.streams, Outlet()
    streams.enter(None, ADDRESS)
    await client.app.drain()
    connection = Connection(streams, outlet, ANONYMOUS, ADDRESS, "r", (None, "bearer"))
    await asyncio.sleep(0)
    assert connection.closed
    assert ["shutdown" in text for text in outlet.sent] == [True]
    assert streams.places.current == 0


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_who_leaves_before_the_answer_begins_leaves_its_place(client: Client, kind: str) -> None:
    path = "/api/v1/events" if kind == "http" else "/api/v1/live"
    scope = scope_of("GET", path, "resource=notices" if kind == "http" else "", {})
    if kind == "websocket":
        scope = {**scope, "type": "websocket", "scheme": "ws", "subprotocols": []}
    first = {"type": "http.request", "body": b"", "more_body": False}

    async def receive() -> dict[str, Any]:
        return first if kind == "http" else {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        raise OSError("the client has left")

    for _ in range(3):
        with pytest.raises(OSError, match="has left"):
            await client.app(scope, receive, send)
    assert client.app.realtime.streams.places.current == 0
    assert client.app.realtime.streams.places._taken == {}
