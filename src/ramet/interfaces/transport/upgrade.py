"""From a request to a WebSocket: the handshake (RFC 6455, section 4.2), and taking its connection over.

The embedded server answers 101 and lets go of the connection without shutting it down. What keeps it open is our own
descriptor of the same socket, found by the client's address. Once the server has closed its own, it neither reads nor
writes any more.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import resource
from collections.abc import Callable, Sequence
from typing import Protocol

from ramet.errors import Problem
from ramet.interfaces.transport.sockets import Sockets
from ramet.interfaces.transport.taken import Taken
from ramet.interfaces.transport.websocket import WebSocket

VERSION = "13"
PATIENCE = 10.0
"""Seconds in which the server writes its answer to the handshake."""
PAUSE = 0.001
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_sockets = Sockets()
Header = Callable[[str], str | None]


class Switching(Protocol):
    """The server's side of a request that is answered by 101."""

    def response_empty(self, status: int, headers: list[tuple[str, str]], /) -> None: ...


def most() -> int:
    """How many WebSockets one process may hold, so that descriptors are left for all else."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def is_handshake(header: Header) -> bool:
    """Whether a client asks for a WebSocket, well or badly."""
    return (header("upgrade") or "").lower() == "websocket"


def accept(header: Header) -> list[tuple[str, str]]:
    """The headers that accept a handshake. Raises Problem `bad_request` for one that is none."""
    tokens = {token.strip().lower() for token in (header("connection") or "").split(",")}
    if "upgrade" not in tokens:
        raise Problem("bad_request", "A WebSocket is asked for with `connection: upgrade`.")
    if header("transfer-encoding") is not None or header("content-length") not in (None, "0"):
        raise Problem("bad_request", "A handshake has no body.")
    if header("sec-websocket-version") != VERSION:
        raise Problem(
            "bad_request", "This is version 13 of WebSockets only.", headers=[("sec-websocket-version", VERSION)]
        )
    key = header("sec-websocket-key") or ""
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise Problem("bad_request", "`sec-websocket-key` takes 16 bytes in base64.")
    answer = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    return [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", answer)]


def take(client: str, server: str) -> Taken:
    """The connection of a client to a server of this process.

    Raises Problem `overloaded` when half of all descriptors are such, and `unavailable` where it can't be found.
    """
    if WebSocket.count >= most():
        raise Problem("overloaded", f"This process holds {most()} WebSockets.", retry_after=5)
    found = _sockets.take(client, server)
    if found is None:
        raise Problem("unavailable", "This connection cannot become a WebSocket here.", retry_after=5)
    return found


async def switch(connection: Taken, protocol: Switching, headers: Sequence[tuple[str, str]], longest: int) -> WebSocket:
    """Answers 101 and gives the WebSocket, which takes messages of at most `longest` bytes.

    The connection is closed when that fails; TimeoutError when the server does not give it up.
    """
    try:
        connection.socket.setblocking(False)
        protocol.response_empty(101, list(headers))
        async with asyncio.timeout(PATIENCE):
            while connection.shared():  # noqa: ASYNC110 - the server does not tell
                await asyncio.sleep(PAUSE)
        _, found = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: WebSocket(longest), connection.socket
        )
    except BaseException:
        connection.socket.close()
        raise
    return found
