"""A connection that is taken over from the embedded server."""

from __future__ import annotations

import socket
from typing import NamedTuple


class Taken(NamedTuple):
    """A descriptor of our own for a connection, and the server's, which ends at `port`."""

    socket: socket.socket
    descriptor: int
    port: int

    def shared(self) -> bool:
        """Whether the server still has it. While we do, no other connection has the same two ends."""
        return port_of(self.descriptor) == self.port


def port_of(descriptor: int) -> int:
    """The port of the other end; 0 for what is no TCP connection. Looks without a copy, for there may be thousands."""
    try:
        seen = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=descriptor)  # has room for both families
    except OSError:
        return 0
    try:
        name = seen.getpeername()
    except OSError:
        return 0
    finally:
        seen.detach()
    return name[1] if isinstance(name, tuple) else 0
