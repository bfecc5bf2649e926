"""The WebSocket over ASGI: several subscriptions, what is refused, and a token in a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ramet.testing import Client
from tests.scenarios.realtime_world import running

PATIENCE = 60.0


class Socket:
    """A WebSocket's client. `closed` is the code with which the server closed it, or refused it."""

    def __init__(self, client: Client, headers: dict[str, str]) -> None:
        sent = {"host": "testserver", **headers}
        self._scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/api/v1/live",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "scheme": "ws",
            "client": ("127.0.0.1", 50_000),
            "root_path": "",
        }
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.ensure_future(client.app(self._scope, self._to_app.get, self._from_app.put))

    async def send(self, **message: Any) -> None:
        await self.say(msgspec.json.encode(message).decode())

    async def say(self, text: str) -> None:
        await self._to_app.put({"type": "websocket.receive", "text": text})

    async def next(self) -> Any:
        message = await self.message()
        assert message["type"] == "websocket.send", message
        return msgspec.json.decode(message["text"])

    async def message(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return await self._from_app.get()

    async def leave(self) -> None:
        await self._to_app.put({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(PATIENCE):
            await self._task


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(tmp_path, subscription_limit=2) as client:
        yield client


@asynccontextmanager
async def live(client: Client, token: str = "", **headers: str) -> AsyncIterator[Socket]:
    socket = Socket(client, {"authorization": f"Bearer {token}"} if token else headers)
    assert (await socket.message())["type"] == "websocket.accept"
    yield socket
    await socket.leave()


async def test_several_subscriptions_on_one_connection(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with live(client, ada.token) as socket:
        await socket.send(type="subscribe", subscription="all", query="resource=tasks")
        assert (await socket.next())["type"] == "ready"
        await socket.send(type="subscribe", subscription="done", query="resource=tasks&status=done")
        ready = await socket.next()
        task = (await ada.post("tasks", {})).ok()
        heard = await socket.next()
        assert (heard["type"], heard["subscription"], heard["record"]) == ("event", "all", task)
        await ada.patch(f"tasks/{task['id']}", {"status": "done"})
        both = [await socket.next(), await socket.next()]
        assert sorted((event["subscription"], event["kind"]) for event in both) == [
            ("all", "updated"),
            ("done", "created"),
        ]
        await socket.send(type="unsubscribe", subscription="all")
        assert await socket.next() == {"type": "unsubscribed", "subscription": "all"}
        await ada.delete(f"tasks/{task['id']}")
        assert (await socket.next())["subscription"] == "done"
        await socket.send(type="subscribe", subscription="again", query="resource=tasks", last_event_id=ready["id"])
        replayed = [await socket.next(), await socket.next()]
        assert [event.get("kind", event["type"]) for event in replayed] == ["deleted", "ready"]
        await socket.send(type="ping", id="x")
        assert await socket.next() == {"type": "pong", "id": "x"}, "nothing else was told"
    assert len(client.app.realtime.streams) == 0
    assert client.app.handlers.watching.hub.views == 0


async def test_what_is_refused_is_said_and_the_connection_goes_on(client: Client) -> None:
    async with live(client) as socket:
        cases = [
            ('{"type":"subscribe"', None, "invalid_json"),
            ('{"type":"nothing"}', None, "invalid_input"),
            ('{"type":"subscribe","subscription":"a"}', None, "invalid_input"),
            ('{"type":"subscribe","subscription":"","query":""}', None, "invalid_input"),
            ('{"type":"subscribe","subscription":"a","query":"resource=tasks"}', "a", "unauthenticated"),
            ('{"type":"subscribe","subscription":"a","query":"resource=nothing"}', "a", "invalid_query"),
            ('{"type":"subscribe","subscription":"a","query":"resource=notices&wait=1"}', "a", "invalid_query"),
            ('{"type":"unsubscribe","subscription":"a"}', "a", "not_found"),
            ('{"type":"authenticate","token":"x"}', None, "invalid_token"),
        ]
        for text, name, code in cases:
            await socket.say(text)
            error = await socket.next()
            assert (error["type"], error["subscription"], error["problem"]["code"]) == ("error", name, code), text
        for name in ("a", "b"):
            await socket.send(type="subscribe", subscription=name, query="resource=notices")
            assert (await socket.next())["type"] == "ready"
        for name in ("a", "c"):
            await socket.send(type="subscribe", subscription=name, query="resource=notices")
            assert (await socket.next())["problem"]["code"] == "conflict"


async def test_a_message_that_is_too_long_ends_the_connection(client: Client) -> None:
    async with live(client) as socket:
        await socket.say("x" * 20_000)
        assert (await socket.next())["problem"]["code"] == "body_too_large"
        assert (await socket.next())["reason"] == "body_too_large"


async def test_a_token_comes_in_a_message_and_a_newer_one_takes_over(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with live(client) as socket:
        await socket.send(type="authenticate", token=ada.token)
        assert (await socket.next())["type"] == "authenticated"
        await socket.send(type="subscribe", subscription="a", query="resource=tasks")
        assert (await socket.next())["type"] == "ready"
        client.clock.advance(minutes=10)
        caller = client.app.identity.verifier.verify(ada.token)
        assert caller.id is not None
        assert caller.session is not None
        newer = client.app.identity.tokens.mint(
            user=caller.id, session=caller.session, roles=(), now=client.clock.now.timestamp()
        )
        await socket.send(type="authenticate", token=newer)
        assert (await socket.next())["type"] == "authenticated"
        client.clock.advance(minutes=10)
        client.app.feed.sync()
        await client.app.realtime.settled()
        other = await client.sign_in("ada@example.com")
        await other.post("tasks", {})
        assert (await socket.next())["kind"] == "created"
        client.clock.advance(minutes=10)
        assert (await socket.next())["reason"] == "invalid_token"


async def test_a_handshake_by_cookie_from_elsewhere_is_refused(client: Client) -> None:
    ada = await client.sign_up("ada")
    cookie = f"__Host-ramet-access={ada.token}"
    for origin in (
        {},
        {"origin": "https://evil.example"},
        {"origin": "http://testserver", "sec-fetch-site": "cross-site"},
    ):
        socket = Socket(client, {"cookie": cookie, **origin})
        assert (await socket.message())["type"] == "websocket.close"
    async with live(client, cookie=cookie, **{"sec-fetch-site": "same-origin"}) as socket:
        await socket.send(type="subscribe", subscription="a", query="resource=tasks")
        assert (await socket.next())["type"] == "ready"
    refused = Socket(client, {"authorization": "Bearer nonsense"})
    assert (await refused.message())["type"] == "websocket.close"
    assert len(client.app.realtime.streams) == 0
