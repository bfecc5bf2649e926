"""A stream that falls behind: what is dropped, the one reload, and when it is given up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from ramet.interfaces.realtime.sse import EventStream
from ramet.interfaces.realtime.streams import Streams
from ramet.limits.addresses import Addresses
from ramet.observe import ReloadSent, StreamEnded
from ramet.operations.watching.subscription import Subscription
from ramet.operations.watching.view import Event
from ramet.testing import Client
from tests.scenarios.realtime_world import make_app


class Pipe:
    """An outlet from which nothing arrives by itself."""

    def __init__(self) -> None:
        self.measured = True
        self.sent: list[bytes] = []
        self.left = 0
        self.closed = self.aborted = False
        self.gone: Any = lambda: None

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.left += len(data)

    def pending(self) -> int:
        return self.left

    def close(self) -> None:
        self.closed = True

    async def flushed(self) -> None:
        return

    def abort(self) -> None:
        self.aborted = True


class Bench:
    """A stream on a pipe, and what is observed of it."""

    def __init__(self, client: Client) -> None:
        self.streams: Streams = client.app.realtime.streams
        self.reloads: list[str] = []
        self.ends: list[StreamEnded] = []
        client.app.observer.subscribe(ReloadSent, lambda reload: self.reloads.append(reload.reason))
        client.app.observer.subscribe(StreamEnded, self.ends.append)
        address = Addresses(()).client("192.0.2.1")
        self.streams.enter(None, address)
        self.pipe = Pipe()
        self.stream = EventStream(self.streams, self.pipe, None, address, "r1")
        info = client.app.catalog.by_path["notices"]
        view = type("View", (), {"info": info})()
        self.subscription = cast("Subscription", type("One", (), {"view": view})())

    def tell(self, number: int) -> None:
        self.stream.event(self.subscription, Event(number, f"m-{number}", "created", b"x" * 60))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Client(make_app(), stream_buffer=1_000, stream_patience=10) as client:
        made = Bench(client)
        yield made
        made.stream.finish("finished")


async def test_what_does_not_fit_is_dropped_and_one_reload_comes_in_its_place(bench: Bench) -> None:
    for number in range(100):
        bench.tell(number)
    assert 8 <= len(bench.pipe.sent) <= 15
    assert (bench.stream.behind, bench.reloads) == (True, [])
    kept = len(bench.pipe.sent)
    bench.pipe.left -= 1
    bench.stream.look(1e9)
    bench.pipe.left = 500
    bench.stream.look(1e9 + 1)
    assert len(bench.pipe.sent) == kept, "half is still on its way"
    bench.pipe.left = 100
    bench.stream.look(1e9 + 2)
    assert (bench.stream.behind, bench.reloads, len(bench.pipe.sent)) == (False, ["behind"], kept + 1)
    bench.tell(101)
    assert b"m-101" in bench.pipe.sent[-1]


async def test_who_takes_nothing_for_too_long_is_cut_off(bench: Bench) -> None:
    for number in range(100):
        bench.tell(number)
    bench.pipe.left -= 1
    bench.stream.look(1e9)
    bench.stream.look(1e9 + 9)
    assert not bench.pipe.aborted
    bench.stream.look(1e9 + 11)
    assert (bench.pipe.aborted, [end.reason for end in bench.ends]) == (True, ["slow"])
    assert len(bench.streams) == 0


async def test_where_nothing_is_known_to_arrive_the_client_comes_back(bench: Bench) -> None:
    bench.pipe.measured = False
    for number in range(100):
        bench.tell(number)
    assert b'"reason":"renew"' in bench.pipe.sent[-1]
    assert (bench.pipe.closed, [end.reason for end in bench.ends]) == (True, ["renew"])
    assert sum(map(len, bench.pipe.sent)) < 1_500


async def test_one_event_may_be_larger_than_the_bound(bench: Bench) -> None:
    bench.stream.event(bench.subscription, Event(1, "m-1", "created", b"x" * 5_000))
    assert (len(bench.pipe.sent), bench.stream.behind) == (1, False)
    bench.tell(2)
    assert bench.stream.behind


async def test_an_event_is_written_once_for_all(bench: Bench) -> None:
    event = Event(1, "m-1", "created", b"{}")
    bench.stream.event(bench.subscription, event)
    bench.stream.event(bench.subscription, event)
    assert bench.pipe.sent[0] is bench.pipe.sent[1]
