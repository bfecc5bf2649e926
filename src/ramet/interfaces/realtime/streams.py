"""All open streams of one process: one timer for their heartbeats, bounds and ends, and their leave at a stop."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from ramet.errors import Problem
from ramet.interfaces.realtime.stream import Stream
from ramet.limits.addresses import ClientAddress
from ramet.limits.streams import StreamPlaces
from ramet.operations.core import Core
from ramet.operations.watching.hub import Hub

TICK = 0.25
SPREAD = 1.5
"""Seconds over which the streams of a stopping process end."""
STEP = 0.05
FLUSH = 1.0
"""Seconds in which the last words of WebSockets may be written."""
RETRY = (500, 5_000)
"""Milliseconds between which clients are told to come back, so that they do not come all at once."""


class Streams:
    """Keeps streams from their beginning to their end."""

    def __init__(self, core: Core, hub: Hub) -> None:
        self.core = core
        self.hub = hub
        self.places = StreamPlaces(core.settings, core.observer)
        self._open: dict[Stream, None] = {}
        self._beats: deque[tuple[float, Stream]] = deque()
        self._slow: dict[Stream, None] = {}
        self._timed: dict[Stream, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, caller: str | None, address: ClientAddress) -> None:
        """Takes a place, which the stream gives back at its end. Raises Problem when there is none."""
        if self._draining:
            raise Problem("unavailable", "The server is stopping.", retry_after=1)
        self.places.enter(caller, address.group)

    def pending(self) -> int:
        """Bytes on their way to clients that are behind."""
        return sum(stream.outlet.pending() for stream in self._slow)

    def add(self, stream: Stream) -> None:
        self._open[stream] = None
        loop = asyncio.get_running_loop()
        self._beats.append((loop.time() + self.core.settings.stream_heartbeat, stream))
        if self._timer is None:
            self._timer = loop.call_later(TICK, self._tick)
        if self._draining:  # its place was taken before
            loop.call_soon(stream.finish, "shutdown")

    def limit(self, stream: Stream, seconds: float) -> None:
        """Ends a stream after some time."""
        stream.until = asyncio.get_running_loop().time() + seconds
        self._timed[stream] = None

    def remove(self, stream: Stream) -> None:
        if stream in self._open:
            del self._open[stream]
            self._slow.pop(stream, None)
            self._timed.pop(stream, None)
            self.places.leave(stream.caller, stream.address.group)

    def slow(self, stream: Stream) -> None:
        self._slow[stream] = None

    def retry(self) -> int:
        return random.randint(*RETRY)

    def open(self) -> list[Stream]:
        """Those that are open now."""
        return list(self._open)

    async def settled(self, before: Iterable[Stream]) -> None:
        """Waits until nothing is on its way to streams, also those open `before`, that are not behind and can tell."""
        streams = {*before, *self._open}
        while any(one.outlet.pending() and not one.behind and one.outlet.measured for one in streams):  # noqa: ASYNC110 - many queues
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Ends all streams, spread over a while, and takes no new ones."""
        self._draining = True
        streams = list(self._open)
        random.shuffle(streams)
        share = max(1, math.ceil(len(streams) * STEP / SPREAD))
        for start in range(0, len(streams), share):
            if start:
                await asyncio.sleep(STEP)
            for stream in streams[start : start + share]:
                stream.finish("shutdown")
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH):
                for stream in streams:
                    await stream.outlet.flushed()

    def stop(self) -> None:
        """Ends what is left at once."""
        for stream in tuple(self._open):
            stream.finish("shutdown")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = loop.call_later(TICK, self._tick) if self._open else None
        self.hub.expire()
        for stream in tuple(self._slow):
            stream.look(now)
            if not stream.behind:
                self._slow.pop(stream, None)
        for stream in tuple(self._timed):
            if stream.until is not None and stream.until <= now:
                stream.finish("finished")
        while self._beats and (self._beats[0][0] <= now or self._beats[0][1].closed):
            _, stream = self._beats.popleft()
            if not stream.closed:
                stream.beat()
                self._beats.append((now + self.core.settings.stream_heartbeat, stream))
