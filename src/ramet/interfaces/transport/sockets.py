"""What the kernel knows of a connection that the embedded server holds: how much has arrived at the other end.

The server takes the bytes of a stream without bound and tells nothing of them. But its sockets are in this process, so
the one of a client is found by the client's address, and `TCP_INFO` (Linux) says how many bytes the client's side has
acknowledged, and `SIOCOUTQ` how many are still queued. A client that stops reading stops acknowledging once its
receive buffer is full.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ramet.interfaces.transport.request import plain_address
from ramet.interfaces.transport.taken import Taken, port_of

SUPPORTED = sys.platform == "linux"
_FOLDER = "/proc/self/fd" if SUPPORTED else "/dev/fd"
_ACKED = struct.Struct("<120xQ")  # tcpi_bytes_acked of struct tcp_info, since Linux 4.1
_OUTQ = 0x5411
AGAIN = 0.5
"""Seconds between two searches through all descriptors."""

Peer = tuple[str, int]


class Arrived(NamedTuple):
    """Bytes acknowledged since the connection began, and bytes still queued in the kernel."""

    acked: int
    queued: int


class Sockets:
    """The sockets of this process by the address of the other end, which is looked at again at each use."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._found: dict[Peer, int] = {}
        self._searched = -AGAIN

    def arrived(self, client: str) -> Arrived | None:
        """For the client ADDRESS:PORT; None when that can't be known (now)."""
        with self._open(client) as found:
            if found is None:
                return None
            try:
                info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                queued = struct.unpack("i", fcntl.ioctl(found.fileno(), _OUTQ, b"\0\0\0\0"))[0]
            except (OSError, AttributeError):
                return None
            return Arrived(_ACKED.unpack_from(info)[0], queued) if len(info) >= _ACKED.size else None

    def abort(self, client: str) -> bool:
        """Shuts the connection of a client down: what the kernel has is still sent. Whether it was found."""
        with self._open(client) as found:
            if found is None:
                return not SUPPORTED
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
            return True

    def take(self, client: str, server: str) -> Taken | None:
        """The connection of a client to the `server` of this process, both ADDRESS:PORT; None when it can't be found.

        New connections have descriptors that were free a moment ago, so those are looked at first that were not in
        use at the last look.
        """
        peer, own = _peer(client), _peer(server)
        if peer is None or own is None:
            return None
        for again in (False, True):
            for descriptor in _numbers():
                if not again and descriptor in self._known:
                    continue
                port = port_of(descriptor)
                self._known[descriptor] = port
                if port == peer[1] and (found := _socket_of(descriptor, peer)) is not None:
                    # A connection of ours to somebody may have the same other end, but never the port we serve.
                    if found.getsockname()[1] == own[1]:
                        return Taken(found, descriptor, port)
                    found.close()
            self._known.clear()
        return None

    @contextmanager
    def _open(self, client: str) -> Iterator[socket.socket | None]:
        """The socket of a client, on a descriptor of our own: the server may close its own at any time."""
        peer = _peer(client)
        found = None
        if peer is not None and SUPPORTED:
            found = _socket_of(self._found.get(peer, -1), peer)
            if found is None and self._search():
                found = _socket_of(self._found.get(peer, -1), peer)
        try:
            yield found
        finally:
            if found is not None:
                found.close()

    def _search(self) -> bool:
        """Looks at all descriptors, unless that was done a moment ago."""
        now = time.monotonic()
        if now < self._searched + AGAIN:
            return False
        self._searched = now
        self._found.clear()
        for name in os.listdir(_FOLDER):
            descriptor = int(name)
            found = _socket_of(descriptor, None)
            if found is not None:
                with found:
                    peer = _peer_of(found)
                    if peer is not None:
                        self._found[peer] = descriptor
        return True


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir(_FOLDER)]


def _socket_of(descriptor: int, peer: Peer | None) -> socket.socket | None:
    """The socket behind a descriptor, if it is one, and is connected to `peer` where that is given."""
    if descriptor < 0:
        return None
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        found = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None
    if peer is not None and _peer_of(found) != peer:
        found.close()
        return None
    return found


def _peer_of(found: socket.socket) -> Peer | None:
    if found.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port = found.getpeername()[:2]
    except OSError:
        return None
    return plain_address(host), port


def _peer(client: str) -> Peer | None:
    host, _, port = client.rpartition(":")
    return (plain_address(host.strip("[]")), int(port)) if host and port.isdecimal() else None
