"""What is on its way is counted: in our own queue, or as the kernel sees it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from ramet.interfaces.transport.outlet import OVERHEAD, QueuedOutlet
from ramet.interfaces.transport.rsgi_outlet import LOOK, RsgiOutlet
from ramet.interfaces.transport.sockets import SUPPORTED, Arrived, Sockets


class Done:
    """What granian gives for a send: an awaitable that is done, or that says that the other end has gone."""

    def __init__(self, gone: bool) -> None:
        self._gone = gone

    def __await__(self) -> Generator[Any, None, None]:
        if self._gone:
            raise RuntimeError("stream closed")
        return
        yield


class Stream:
    def __init__(self) -> None:
        self.sent = 0
        self.gone = False

    def send_bytes(self, data: bytes) -> Done:
        self.sent += len(data)
        return Done(self.gone)


class Kernel(Sockets):
    """Says what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.says: Arrived | None = Arrived(0, 0)
        self.asked = 0
        self.aborted: list[str] = []

    def arrived(self, client: str) -> Arrived | None:
        self.asked += 1
        return self.says

    def abort(self, client: str) -> bool:
        self.aborted.append(client)
        return True


def test_little_on_its_way_costs_no_look_at_the_socket() -> None:
    kernel, stream = Kernel(), Stream()
    outlet = RsgiOutlet(stream, "127.0.0.1:1", kernel)
    outlet.send(b"x" * 100)
    assert (outlet.pending(), kernel.asked) == (106, 0), "a chunk's length and line ends count"


def test_what_the_other_end_acknowledges_is_no_longer_pending() -> None:
    kernel, stream = Kernel(), Stream()
    outlet = RsgiOutlet(stream, "127.0.0.1:1", kernel)
    kernel.says = Arrived(acked=1_000, queued=50)
    outlet.send(b"x" * LOOK)
    handed = outlet.pending()
    assert handed > LOOK
    kernel.says = Arrived(acked=11_000, queued=50)
    assert outlet.pending() == handed - 10_000
    outlet.send(b"x" * LOOK)
    assert outlet.pending() == 2 * handed - 10_000
    kernel.says = Arrived(acked=90_000, queued=0)
    assert outlet.pending() == 0, "nothing is queued, so all has arrived"
    assert outlet.measured


def test_without_a_socket_to_ask_nothing_is_known_to_arrive() -> None:
    kernel, stream = Kernel(), Stream()
    kernel.says = None
    outlet = RsgiOutlet(stream, "", kernel)
    outlet.send(b"x" * LOOK)
    assert outlet.pending() > LOOK
    assert not outlet.measured


def test_an_end_that_has_gone_is_told_once() -> None:
    told: list[bool] = []
    stream = Stream()
    outlet = RsgiOutlet(stream, "127.0.0.1:1", Kernel())
    outlet.gone = lambda: told.append(True)
    outlet.send(b"a")
    stream.gone = True
    outlet.send(b"b")
    outlet.send(b"c")
    assert (told, stream.sent) == ([True], 2)


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            yield accepted, client


def test_the_kernel_tells_what_has_arrived(connection: tuple[socket.socket, socket.socket]) -> None:
    ours, client = connection
    host, port = client.getsockname()
    sockets = Sockets()
    before = sockets.arrived(f"{host}:{port}")
    if not SUPPORTED:
        assert before is None
        return
    assert before is not None
    ours.sendall(b"x" * 1_000)
    assert client.recv(1_000, socket.MSG_WAITALL) == b"x" * 1_000
    after = sockets.arrived(f"{host}:{port}")
    assert after is not None
    assert (after.acked - before.acked, after.queued) == (1_000, 0)
    assert sockets.arrived("127.0.0.1:1") is None
    assert sockets.abort(f"{host}:{port}")
    assert client.recv(1) == b""


async def test_a_queue_counts_until_it_is_written_and_ends_after_the_last() -> None:
    gate, written = asyncio.Event(), list[bytes]()

    async def write(data: bytes) -> None:
        await gate.wait()
        written.append(data)

    outlet = QueuedOutlet(write, lambda: None)
    outlet.send(b"one")
    outlet.send(b"two")
    outlet.close()
    outlet.send(b"too late")
    assert outlet.pending() == 2 * (3 + OVERHEAD)
    gate.set()
    await outlet.flushed()
    assert (written, outlet.pending()) == ([b"one", b"two"], 0)


async def test_a_queue_whose_connection_breaks_says_so_once() -> None:
    gone: list[bool] = []

    async def write(data: bytes) -> None:
        raise OSError("broken")

    outlet = QueuedOutlet(write, lambda: None)
    outlet.gone = lambda: gone.append(True)
    outlet.send(b"one")
    await outlet.flushed()
    outlet.send(b"two")
    outlet.lost()
    assert gone == [True]


async def test_a_queue_that_is_aborted_drops_what_is_left() -> None:
    dropped: list[bool] = []

    async def write(data: bytes) -> None:
        await asyncio.Event().wait()

    outlet = QueuedOutlet(write, lambda: dropped.append(True))
    outlet.send(b"one")
    await asyncio.sleep(0)
    outlet.abort()
    await outlet.flushed()
    assert dropped == [True]
