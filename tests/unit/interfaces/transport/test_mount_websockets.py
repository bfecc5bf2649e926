"""WebSockets of mounted applications, over RSGI (the real server)."""

from __future__ import annotations

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ramet.interfaces.transport.websocket import WebSocket as OwnSocket
from tests.unit.interfaces.transport.conftest import DEADLINE, Served
from tests.unit.interfaces.transport.site import Site


async def test_a_websocket_goes_both_ways(served: Served, site: Site) -> None:
    async with connect(f"ws://127.0.0.1:{served.port}/site/socket", open_timeout=DEADLINE) as socket:
        assert await socket.recv() == '["/site/socket","ws",[],"site"]'
        await socket.send("abc")
        assert await socket.recv() == "ABC"
        await socket.send(b"abc")
        assert await socket.recv() == b"cba"
    assert await site.next() == "left"


async def test_a_websocket_has_the_subprotocol_and_the_close_codes_of_both_sides(served: Served, site: Site) -> None:
    url = f"ws://127.0.0.1:{served.port}/site/choose"
    async with connect(url, subprotocols=["a", "b"], open_timeout=DEADLINE) as socket:  # type: ignore[list-item]  # plain
        assert socket.subprotocol == "b"
        assert socket.response is not None
        assert socket.response.headers["x-b"] == "c"
        await socket.close(4001)
    assert await site.next() == "left with 4001"
    async with connect(f"ws://127.0.0.1:{served.port}/site/leave", open_timeout=DEADLINE) as socket:
        await socket.wait_closed()
        assert socket.close_code == 4000


async def test_a_websocket_whose_client_reads_slowly_makes_who_sends_wait(
    served: Served, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending: list[int] = []

    def send(socket: OwnSocket, data: bytes, *, text: bool = True) -> None:
        really_send(socket, data, text=text)
        pending.append(socket.pending())

    really_send = OwnSocket.send
    monkeypatch.setattr(OwnSocket, "send", send)
    url = f"ws://127.0.0.1:{served.port}/site/flood"
    async with connect(url, open_timeout=DEADLINE, max_queue=1, max_size=2**21) as socket:
        for number in range(64):
            assert await socket.recv() == bytes([number]) * 2**20
    assert await site.next() == "sent"
    assert len(pending) == 64
    assert max(pending) < 2**21, "never more than one message beyond what may wait"


async def test_a_bad_handshake_is_refused_when_it_is_accepted(served: Served, site: Site) -> None:
    head = b"GET /site/socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: close"
    assert (await served.ask(head + b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_websocket_is_told_when_its_client_vanishes(served: Served, site: Site) -> None:
    socket = await connect(f"ws://127.0.0.1:{served.port}/site/listen", open_timeout=DEADLINE)
    socket.transport.abort()
    assert await site.next() == "left"
    await socket.close()


@pytest.mark.parametrize(("path", "status"), [("refuse", 403), ("fail", 500)])
async def test_a_websocket_may_be_refused(served: Served, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{served.port}/site/{path}", open_timeout=DEADLINE)
    assert refused.value.response.status_code == status


async def test_a_websocket_may_be_closed_by_the_application(served: Served) -> None:
    async with connect(f"ws://127.0.0.1:{served.port}/site/leave", open_timeout=DEADLINE) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
