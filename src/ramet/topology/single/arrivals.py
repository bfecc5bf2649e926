"""The connections of a listening socket, as Linux shows them: granian, which accepts them, does not.

Elsewhere nothing is shown, and a stop goes on without knowing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import socket
import struct
import sys
import termios
from collections.abc import Iterable, Iterator
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
_OPEN = frozenset({1, 8})  # ESTABLISHED; CLOSE_WAIT, in which the other side sends no more but has perhaps sent
_TCP_INFO = struct.Struct("=B23xI100xQ")  # tcpi_state, _unacked and _bytes_received in struct tcp_info of linux/tcp.h


class Arrivals:
    """What comes in by a listening socket of this process, whoever accepts it."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener.fileno()
        self._port: int = listener.getsockname()[1]

    def queued(self) -> int:
        """How many connections wait to be accepted."""
        with contextlib.suppress(OSError), _borrowed(self._listener) as listener:
            return _information(listener)[1]
        return 0

    def stop(self) -> None:
        """Let nobody in this process hear of new connections; they stay queued for another that holds the socket.

        Granian stops to accept only in the moment in which it closes connections, those among them that it has just
        accepted.
        """
        if sys.platform != "linux":
            return
        for descriptor in _descriptors():
            with contextlib.suppress(OSError):  # it is closed by now
                if os.readlink(_DESCRIPTORS / str(descriptor)) != "anon_inode:[eventpoll]":
                    continue
                watched = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
                if re.search(rf"^tfd:\s+{self._listener}\s", watched, re.MULTILINE):
                    with contextlib.closing(select.epoll.fromfd(os.dup(descriptor))) as poll:
                        poll.unregister(self._listener)

    def unheard(self, among: Iterable[int] | None = None) -> set[int]:
        """The accepted connections that have sent nothing yet, or something that is not read yet, as descriptors.

        `among` narrows the search to those.
        """
        return {found for found in (_descriptors() if among is None else among) if self._is_unheard(found)}

    def _is_unheard(self, descriptor: int) -> bool:
        with contextlib.suppress(OSError), _borrowed(descriptor) as connection:
            if connection.family in _INTERNET and connection.getsockname()[1] == self._port:
                state, _, received = _information(connection)
                unread = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)) != bytes(4)
                return state in _OPEN and (unread or not received)
        return False


def _descriptors() -> list[int]:
    return [int(name) for name in os.listdir(_DESCRIPTORS)] if sys.platform == "linux" else []


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """The socket with this descriptor, which stays open. Raises OSError if it is none, or closed by now."""
    borrowed = socket.socket(fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _information(connection: socket.socket) -> tuple[int, int, int]:
    """Its state, what is not acknowledged (for a listener: not accepted), and the bytes that have come.

    Raises OSError if it is no TCP socket.
    """
    if sys.platform != "linux":
        raise OSError("only Linux tells")
    state, unacknowledged, received = _TCP_INFO.unpack(
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    )
    return state, unacknowledged, received
