"""The socket that a topology listens on. Imports little: the parent of worker processes uses it too."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Any

from ramet.errors import SettingsError

BACKLOG = 1_024
"""Connections that the kernel holds until they are accepted."""


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to the address, not yet listening; port 0 takes a free one. `shared` lets our workers bind it too.

    Raises SettingsError when the address cannot be used.
    """
    family, kind, protocol, _, address = look_up(host, port)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from None
    return listener


def look_up(host: str, port: int) -> tuple[Any, ...]:
    """An entry of `getaddrinfo` for a host, of IPv4 if there is one. Raises SettingsError when it has none."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise SettingsError(f"RAMET_HOST: {host!r} is not an address of this machine.") from None
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)


def claim(listener: socket.socket) -> socket.socket | None:
    """What keeps the address of a shared socket for our own workers until it is closed, or our process ends.

    Before they listen, the socket alone keeps nobody from sharing it. None where the system has, or gives, no names for
    that. Raises SettingsError when another process of our user has the address.
    """
    host, port = listener.getsockname()[:2]
    name = f"\0ramet {os.geteuid()} {host} {port}"  # of Linux: it is gone with the process
    held = None
    try:
        held = socket.socket(socket.AF_UNIX)
        held.bind(name)
        held.listen()  # so that others see whose it is
    except (AttributeError, OSError) as error:
        if held is not None:
            held.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE and _holder(name) == os.geteuid():
            raise _refused(host, port, error) from None
        return None
    return held


def _holder(name: str) -> int | None:
    """The user whose process has a name, which anybody may take; None when nobody answers for it."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(name)
            return int(struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
        except OSError:
            return None


def open_up(listener: socket.socket) -> None:
    """Let a bound socket take connections. Raises SettingsError when another process was first to do so."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _refused(host, port, error) from None


def url_of(listener: socket.socket) -> str:
    """The address of a bound socket, as people type it."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def say(text: str) -> None:
    """One line for whoever runs the process."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _refused(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"RAMET_PORT: {host}:{port} cannot be used: {os.strerror(error.errno or 0)}. "
        "Stop what uses it, or choose another with --port."
    )
