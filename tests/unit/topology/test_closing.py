"""The last answer of a connection says so, whichever way it is given; all else passes through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ramet.topology.single.closing import LastAnswer

CLOSING = [("a", "b"), ("connection", "close")]


class Protocol:
    """Granian's side, which keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.given.append((name, *arguments)) or "stream"

    async def __call__(self) -> bytes:
        return b"body"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"part"

    async def client_disconnect(self) -> None:
        self.given.append("gone")


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("response_empty", ()),
        ("response_str", ("text",)),
        ("response_bytes", (b"bytes",)),
        ("response_file", ("/file",)),
        ("response_file_range", ("/file", 1, 2)),
        ("response_stream", ()),
    ],
)
def test_each_kind_of_answer_ends_its_connection(name: str, rest: tuple[Any, ...]) -> None:
    protocol = Protocol()
    headers = [("a", "b")]
    given = getattr(LastAnswer(protocol), name)(200, headers, *rest)
    assert protocol.given == [(name, 200, CLOSING, *rest)]
    assert headers == [("a", "b")], "the headers are the application's, which may keep them"
    assert given == ("stream" if name == "response_stream" else None)


async def test_the_request_is_read_as_it_is() -> None:
    protocol = Protocol()
    last = LastAnswer(protocol)
    assert await last() == b"body"
    assert [part async for part in last] == [b"part"]
    await last.client_disconnect()
    assert protocol.given == ["gone"]


def test_a_connection_that_becomes_a_websocket_is_not_told_to_close() -> None:
    protocol = Protocol()
    LastAnswer(protocol).response_empty(101, [("connection", "upgrade")])
    assert protocol.given == [("response_empty", 101, [("connection", "upgrade")])]
