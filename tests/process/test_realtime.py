"""Event streams and WebSockets of a real server: across workers, through revocations and stops, with slow readers."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import websockets

from tests.process.client import Client, connected, spread, until
from tests.process.harness import Running, ramet_serve
from tests.process.people import CHEAP, SignIn, register, sign_in
from tests.process.streams import EventSource, resident, watching

ENTRIES, OWN = "/api/v1/entries", "/api/v1/own"
NOTE = "n" * 10_000
LATENCY = 0.05
TOGETHER = 10


async def person(client: Client, name: str) -> SignIn:
    return await sign_in(client, await register(client, name))


async def create(client: Client, key: str, **values: Any) -> str:
    answer = await client.ask("POST", ENTRIES, {"key": key, **values})
    assert answer.status == 201, answer
    return str(answer.json()["id"])


def live(port: int, headers: dict[str, str] | None = None, **options: Any) -> Any:
    return websockets.connect(
        f"ws://127.0.0.1:{port}/api/v1/live", additional_headers=headers or {}, ping_interval=None, **options
    )


async def message(socket: Any) -> Any:
    """The next one that says something."""
    async with asyncio.timeout(60):
        while (heard := json.loads(await socket.recv()))["type"] == "heartbeat":
            pass
        return heard


async def subscribe(socket: Any, name: str, query: str, **more: str) -> Any:
    await socket.send(json.dumps({"type": "subscribe", "subscription": name, "query": query, **more}))
    return await message(socket)


async def test_a_subscriber_hears_in_time_what_is_written_through_another_worker(tmp_path: Path) -> None:
    with ramet_serve(tmp_path, "--workers", "2", **CHEAP) as server:
        port = await asyncio.to_thread(server.port)
        async with spread(port) as workers:
            first, second = (clients[0] for clients in workers.values())
            ada, bob = await person(first, "ada"), await person(second, "bob")
            async with watching(port, "resource=own", ada.headers) as events, live(port, ada.headers) as socket:
                assert (await events.next()).kind == "ready"
                assert (await subscribe(socket, "a", "resource=own"))["type"] == "ready"
                delays = []
                for number in range(100):
                    writer = (first, second)[number % 2]
                    await writer.ask("POST", OWN, {"value": -1}, bob.headers)
                    made = (await writer.ask("POST", OWN, {"value": number}, ada.headers)).json()
                    committed = time.monotonic()
                    for heard in (await message(socket), (await events.next()).data):
                        assert (heard["kind"], heard["record"]) == ("created", made)
                    delays.append(time.monotonic() - committed)
                # One half was written through the worker that told it, maybe.
                assert max(median(delays[::2]), median(delays[1::2])) <= LATENCY


async def test_a_revoked_session_is_told_so_through_another_worker_and_hears_nothing_more(tmp_path: Path) -> None:
    with ramet_serve(tmp_path, "--workers", "2", **CHEAP) as server:
        port = await asyncio.to_thread(server.port)
        async with spread(port) as workers:
            first, second = (clients[0] for clients in workers.values())
            ada = await person(first, "ada")
            other = await sign_in(second, "ada@example.org")
            for writer in (first, second):
                mine = await sign_in(writer, "ada@example.org")
                async with watching(port, "resource=own", mine.headers) as events, live(port, mine.headers) as socket:
                    await events.next()
                    await subscribe(socket, "a", "resource=own")
                    gone = await writer.ask("DELETE", f"/api/v1/sessions/{mine.session}", None, other.headers)
                    assert gone.status == 204
                    await writer.ask("POST", OWN, {"value": 1}, ada.headers)
                    assert (await events.next()).data == {"kind": "end", "reason": "session_ended"}
                    assert await events.ended()
                    end = await message(socket)
                    assert (end["type"], end["reason"]) == ("end", "session_ended")
                    with pytest.raises(websockets.ConnectionClosed):
                        await message(socket)


async def test_a_stop_ends_streams_with_a_word_and_in_time(tmp_path: Path) -> None:
    with ramet_serve(tmp_path, **CHEAP) as server:
        port = await asyncio.to_thread(server.port)
        async with live(port) as socket, watching(port, "resource=entries") as first:
            await subscribe(socket, "a", "resource=entries")
            await first.next()
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert (await first.next()).data["reason"] == "shutdown"
            assert await first.ended()
            end = await message(socket)
            assert (end["type"], end["reason"], 500 <= end["retry"] <= 5_000) == ("end", "shutdown", True)
            assert await asyncio.to_thread(server.ends) == 0
            assert time.monotonic() - began < 5


async def test_a_resumed_stream_misses_nothing(tmp_path: Path) -> None:
    """A client leaves and comes back at random places while others write: what it rebuilds is what the list says."""
    rng = random.Random(7)
    with ramet_serve(tmp_path, "--workers", "2", **CHEAP) as server:
        port = await asyncio.to_thread(server.port)
        async with spread(port) as workers:
            clients = [clients[0] for clients in workers.values()]
            known: dict[str, Any] = {}
            last = ""
            for _ in range(12):
                query = f"resource=entries&group=red{'&last_event_id=' + last if last else ''}"
                async with watching(port, query) as events:
                    if not last:
                        assert (await events.next()).kind == "ready"  # from here on it is told everything
                    writing = asyncio.ensure_future(_write(clients, rng, 20))
                    for _ in range(rng.randrange(1, 8)):
                        _apply(known, await events.next())
                    last = events.last
                await writing
            async with watching(port, f"resource=entries&group=red&wait=0&last_event_id={last}") as events:
                while (event := await events.next()).kind != "end":
                    _apply(known, event)
            listed = (await clients[0].ask("GET", f"{ENTRIES}?group=red&limit=100")).json()
            assert listed["next"] is None
            assert known == {record["id"]: record for record in listed["items"]}
            assert known


async def _write(clients: list[Client], rng: random.Random, count: int) -> None:
    for _ in range(count):
        client, roll = rng.choice(clients), rng.random()
        records = (await client.ask("GET", f"{ENTRIES}?limit=100")).json()["items"]
        group = rng.choice(("red", "blue"))
        if roll < 0.3 or len(records) < 3:
            await create(client, f"k{rng.random()}", group=group)
        elif roll < 0.8:
            path = f"{ENTRIES}/{rng.choice(records)['id']}"
            await client.ask("PATCH", path, {"group": group, "value": rng.randrange(99)})
        else:
            await client.ask("DELETE", f"{ENTRIES}/{rng.choice(records)['id']}")


def _apply(known: dict[str, Any], event: Any) -> None:
    assert event.kind not in ("reload",), "nothing was too old"
    if event.kind in ("created", "updated"):
        known[event.data["record_id"]] = event.data["record"]
    elif event.kind == "deleted":
        known.pop(event.data["record_id"], None)


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_a_reader_that_stops_costs_little_and_then_gets_one_reload(tmp_path: Path, kind: str) -> None:
    settings = {**CHEAP, "stream_buffer": 100_000, "stream_patience": 600, "record_cache_size": 100_000}
    with ramet_serve(tmp_path, **settings) as server:
        port = await asyncio.to_thread(server.port)
        async with connected(port) as (client,), watching(port, "resource=entries") as brisk:
            await brisk.next()
            pid = (await client.ask("GET", f"{ENTRIES}/worker")).json()
            if kind == "sse":
                async with watching(port, "resource=entries", buffer=4_096) as stalled:
                    await _stall(client, brisk, pid, server)
                    await stalled.until("reload")
                    await create(client, "after")
                    assert (await stalled.next()).data["record"]["key"] == "after"
            else:
                async with live(port, max_queue=1) as socket:
                    await subscribe(socket, "a", "resource=entries")
                    await _stall(client, brisk, pid, server)
                    while (heard := await message(socket))["type"] != "reload":
                        assert heard["type"] == "event"
                    await create(client, "after")
                    assert (await message(socket))["record"]["key"] == "after"


async def _stall(client: Client, brisk: EventSource, pid: int, server: Running) -> None:
    """Writes 10 MB that one of two subscribers reads, the other does not: memory stays, and the reader has it all."""

    async def write(name: str, count: int) -> None:
        for first in range(0, count, TOGETHER):
            keys = [f"{name}{first + number}" for number in range(TOGETHER)]
            await asyncio.gather(*(create(client, key, note=NOTE) for key in keys))
            assert sorted([(await brisk.next()).data["record"]["key"] for _ in keys]) == sorted(keys)

    await write("warm", 200)
    before = resident(pid)
    await write("note", 1_000)
    assert resident(pid) - before < 4_000_000


async def test_a_reader_that_never_comes_back_is_cut_off(tmp_path: Path) -> None:
    settings = {**CHEAP, "stream_buffer": 50_000, "stream_patience": 0.5, "access_log": True}
    with ramet_serve(tmp_path, **settings) as server:
        port = await asyncio.to_thread(server.port)
        async with connected(port) as (client,), watching(port, "resource=entries", buffer=4_096):

            async def cut_off() -> bool:
                await asyncio.gather(*(create(client, f"n{random.random()}", note=NOTE) for _ in range(TOGETHER)))
                return '"reason":"slow"' in server.text

            await until(cut_off)


async def test_a_websocket_of_a_cookie_comes_from_our_own_pages_only(tmp_path: Path) -> None:
    with ramet_serve(tmp_path, **CHEAP) as server:
        port = await asyncio.to_thread(server.port)
        async with connected(port) as (client,):
            ada = await person(client, "ada")
            cookie = {"cookie": f"__Host-ramet-access={ada.access}"}
            own = f"http://127.0.0.1:{port}"
            for origin in (None, "http://evil.example"):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await live(port, cookie, origin=origin)
                assert refused.value.response.status_code == 403
            async with live(port, cookie, origin=own) as socket:
                assert (await subscribe(socket, "a", "resource=own"))["type"] == "ready"
            with pytest.raises(websockets.InvalidStatus) as unknown:
                await websockets.connect(f"ws://127.0.0.1:{port}/elsewhere")
            assert unknown.value.response.status_code == 404


async def test_2_000_idle_subscribers_cost_15_kb_each_and_hear_the_same_event_at_once(tmp_path: Path) -> None:
    count = 2_000
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most != resource.RLIM_INFINITY else 65_536, most))
    settings = {**CHEAP, "stream_limit_address": count + 1}
    with ramet_serve(tmp_path, **settings) as server:
        port = await asyncio.to_thread(server.port)
        async with connected(port) as (client,), AsyncExitStack() as stack:
            pid = (await client.ask("GET", f"{ENTRIES}/worker")).json()
            before = resident(pid)
            subscribers = []
            for _ in range(count):
                events = await stack.enter_async_context(watching(port, "resource=entries"))
                assert (await events.next()).kind == "ready"
                subscribers.append(events)
            assert (resident(pid) - before) / count <= 15_000
            began = time.monotonic()
            await create(client, "to all")
            heard = [(await events.next()).data["record"]["key"] for events in subscribers]
            assert heard == ["to all"] * count
            assert time.monotonic() - began < 5
            metrics = (await client.ask("GET", "/metrics")).body.decode()
            assert 'ramet_streams{kind="sse"} 2000.0' in metrics
            assert "ramet_events_total 1.0" in metrics
            assert "ramet_events_sent_total 2000.0" in metrics


async def test_idle_websockets_cost_less_than_15_kb_each_and_end_with_a_code(tmp_path: Path) -> None:
    count, first = 1_000, 100
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most != resource.RLIM_INFINITY else 65_536, most))
    settings = {**CHEAP, "stream_limit_address": count + first}
    with ramet_serve(tmp_path, **settings) as server:
        port = await asyncio.to_thread(server.port)
        async with connected(port) as (client,), AsyncExitStack() as stack:
            pid = (await client.ask("GET", f"{ENTRIES}/worker")).json()
            sockets = [await stack.enter_async_context(live(port)) for _ in range(first)]
            for socket in sockets:
                assert (await subscribe(socket, "a", "resource=entries"))["type"] == "ready"
            before = resident(pid)
            for _ in range(count):
                sockets.append(await stack.enter_async_context(live(port)))
                assert (await subscribe(sockets[-1], "a", "resource=entries"))["type"] == "ready"
            assert (resident(pid) - before) / count <= 15_000
            await create(client, "to all")
            for socket in sockets:
                assert (await message(socket))["record"]["key"] == "to all"
            server.signal(signal.SIGTERM)
            assert (await message(sockets[0]))["type"] == "end"
            await sockets[0].wait_closed()
            assert sockets[0].close_code == 1001


async def test_a_refused_handshake_says_why(tmp_path: Path) -> None:
    with ramet_serve(tmp_path, **CHEAP) as server:
        port = await asyncio.to_thread(server.port)
        with pytest.raises(websockets.InvalidStatus) as refused:
            await live(port, {"authorization": "Bearer nobody"})
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["code"] == "invalid_token"
        async with connected(port) as (client,):
            plain = await client.ask("GET", "/api/v1/live")
            assert (plain.status, plain.json()["code"]) == (404, "not_found")
