"""The last answer on each connection: what a process that is about to stop gives, so that nobody sends it another.

To close idle connections instead would meet requests that are on their way, and whoever sent one cannot know whether it
was carried out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

_CLOSE = ("connection", "close")


class LastAnswer:
    """Granian's side of one HTTP request, whose connection ends with the answer."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def __call__(self) -> Awaitable[bytes]:
        body: Awaitable[bytes] = self._protocol()
        return body

    def __aiter__(self) -> AsyncIterator[bytes]:
        parts: AsyncIterator[bytes] = self._protocol.__aiter__()
        return parts

    def client_disconnect(self) -> Awaitable[None]:
        gone: Awaitable[None] = self._protocol.client_disconnect()
        return gone

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._protocol.response_empty(status, headers if status == 101 else [*headers, _CLOSE])

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str) -> None:
        self._protocol.response_str(status, [*headers, _CLOSE], body)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._protocol.response_bytes(status, [*headers, _CLOSE], body)

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None:
        self._protocol.response_file(status, [*headers, _CLOSE], file)

    def response_file_range(self, status: int, headers: list[tuple[str, str]], file: str, start: int, end: int) -> None:
        self._protocol.response_file_range(status, [*headers, _CLOSE], file, start, end)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Any:
        return self._protocol.response_stream(status, [*headers, _CLOSE])
