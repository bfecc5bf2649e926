"""A subscriber in the process of its tests."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import msgspec

from ramet.app import App
from ramet.testing.answer import Answer
from ramet.testing.asgi import PATIENCE, scope_of


class Event(msgspec.Struct, frozen=True):
    """One event: `kind` is ready, created, updated, deleted, reload or end; `id` may be empty; `data` is its JSON."""

    kind: str
    id: str
    data: Any

    @property
    def record(self) -> dict[str, Any]:
        """The record it tells of."""
        found: dict[str, Any] = self.data["record"]
        return found


class Events:
    """What one subscriber is told, from `async with` to its end. Raises AssertionError when it is refused.

    `refusal` is the answer when there is no stream. `last` is the id to come back with.
    """

    def __init__(self, app: App, path: str, query: str, headers: dict[str, str]) -> None:
        self.refusal: Answer | None = None
        self.last = ""
        self._app = app
        self._scope = scope_of("GET", path, query, headers)
        self._start: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._text = b""

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait((self._task, self._start), return_when=asyncio.FIRST_COMPLETED)
            start = await self._start
            if start["status"] != 200:
                await self._task
                headers = {name.decode(): value.decode() for name, value in start["headers"]}
                self.refusal = Answer(start["status"], headers, self._taken())
                raise AssertionError(f"{start['status']}: {self.refusal.body.decode(errors='replace')}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        async with asyncio.timeout(PATIENCE):
            await self._task

    async def next(self) -> Event:
        """The next event. Raises TimeoutError when none comes."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = self._parse()
                if found is not None:
                    return found
                self._text += await self._chunks.get()

    async def rest(self) -> list[Event]:
        """All that has been told by now: nothing else is under way."""
        await self._app.realtime.settled()
        self._text += self._taken()
        found = []
        while (event := self._parse()) is not None:
            found.append(event)
        return found

    def _parse(self) -> Event | None:
        while b"\n\n" in self._text:
            frame, self._text = self._text.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if ": " in line)
            if "data" in fields:
                self.last = fields.get("id", self.last)
                return Event(fields["event"], fields.get("id", ""), msgspec.json.decode(fields["data"]))
        return None

    def _taken(self) -> bytes:
        parts = []
        while not self._chunks.empty():
            parts.append(self._chunks.get_nowait())
        return b"".join(parts)

    async def _receive(self) -> dict[str, Any]:
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start.set_result(message)
        else:
            self._chunks.put_nowait(message.get("body", b""))
