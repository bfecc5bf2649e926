"""Requests at a fixed rate, and followers that resume, for tests that replace what answers them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.process.client import Answer, Client, Cut

DEADLINE = 120.0


class Persistent:
    """A connection that is opened anew once an answer has said that it was its last. Nothing is sent twice."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client: Client | None = None

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        """The answer. Raises Cut when the connection ended without one."""
        if self._client is None:
            loop = asyncio.get_running_loop()
            self._client = (await loop.create_connection(Client, "127.0.0.1", self._port))[1]
        answer = await asyncio.wait_for(self._client.send(method, path, body), DEADLINE)
        if answer.header("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Load:
    """`rate` requests a second over `connections`, from `requests`; each outcome is counted, and no failure hidden."""

    def __init__(
        self, port: int, rate: float, connections: int, requests: Callable[[], Iterator[tuple[str, str, object]]]
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self._interval = connections / rate
        self._links = [Persistent(port) for _ in range(connections)]
        self._requests = requests()
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(link, number)) for number, link in enumerate(self._links)]

    async def stop(self) -> None:
        """Waits for what is under way."""
        self._ending = True
        await asyncio.gather(*self._tasks)
        for link in self._links:
            link.close()

    @property
    def failed(self) -> dict[str, int]:
        """Whatever was not answered as it should be."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome not in ("200", "201")}

    async def _run(self, link: Persistent, number: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval * number / len(self._links)
        while not self._ending:
            await asyncio.sleep(max(0.0, due - loop.time()))  # waits: so that requests come at a rate
            due = max(due + self._interval, loop.time() - 1)
            method, path, body = next(self._requests)
            try:
                answer = await link.ask(method, path, body)
            except (Cut, OSError, TimeoutError) as error:
                self.outcomes[f"{method} {error!r}"] += 1
                link.close()
                continue
            self.outcomes[str(answer.status) if answer.status < 300 else f"{method} {answer.status}"] += 1
            if answer.status == 201:
                self.acknowledged.append(answer.json()["key"])


class Follower:
    """A WebSocket that comes back with the id of the last event when its connection ends, on any of the ports.

    `seen` are the keys of records that were created, `ids` those of the events that told of each.
    """

    def __init__(self, port: int | Sequence[int], query: str) -> None:
        self.seen: set[str] = set()
        self.ids: defaultdict[str, list[str]] = defaultdict(list)
        self.reloads = 0
        self.connections = 0
        self.ready = asyncio.Event()
        self._ports = [port] if isinstance(port, int) else port
        self._query = query
        self._last = ""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            wait = random.uniform(0.1, 1.0)
            url = f"ws://127.0.0.1:{random.choice(self._ports)}/api/v1/live"
            try:
                async with connect(url, open_timeout=DEADLINE, close_timeout=1, proxy=None) as socket:
                    self.connections += 1
                    asking: dict[str, Any] = {"type": "subscribe", "subscription": "s", "query": self._query}
                    if self._last:
                        asking["last_event_id"] = self._last
                    await socket.send(msgspec.json.encode(asking).decode())
                    async for text in socket:
                        self._take(msgspec.json.decode(text))
            except (WebSocketException, OSError, TimeoutError):
                await asyncio.sleep(wait)  # waits: as clients do that have been sent away

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("kind", message["type"])
        if "id" in message and kind != "pong":
            self._last = message["id"]
        if kind == "ready":
            self.ready.set()
        elif kind == "reload":
            self.reloads += 1
        elif kind == "created":
            key = message["record"]["key"]
            self.seen.add(key)
            self.ids[key].append(message["id"])
