"""What an interface sees of a request and gives back, whatever server carried it.

The contract is `Request`, `Response` and `Handler`. Servers differ in what they check, so each adapter passes what it
received through `inspect` once and leaves the finding in `Request.flaw`; a handler refuses a flawed request first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from ramet.errors import Problem
from ramet.interfaces.transport.taken import Taken

TARGET_LIMIT = 8_192
"""Characters of path and query together."""
HEADER_COUNT_LIMIT = 100
HEADER_SIZE_LIMIT = 32_768
"""Characters of all header names and values together. Over RSGI, where every look is on the hot path, values
outside ASCII are not counted, nor names while values and address are short: there the server's own bound holds."""
BODY_TIMEOUT = 30.0
"""Seconds in which a body must have arrived."""
DISCARD_LIMIT = 8_388_608
"""Bytes of a refused body that are read and dropped, so that a client still sending can read the refusal."""

UNREADABLE = "\ufffd"
"""Stands for bytes that are no text: in an address what is not UTF-8, as a header's value what is not ASCII. Such a
header is present, but nothing that anybody accepts."""

_SINGLE = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "origin",
        "ramet-position",
        "sec-fetch-site",
    }
)


class Disconnected(Exception):
    """The client went away, or broke off, before its body was complete. Nobody is waiting for an answer."""


class Request(Protocol):
    """One HTTP request. `path` is percent-decoded and relative to where the application is mounted; `query` is raw."""

    method: str
    path: str
    query: str
    flaw: Problem | None
    """What is wrong with the request line or the headers; the handler raises it before anything else."""

    @property
    def peer(self) -> str:
        """The address of the other end of the connection, without port; empty for a Unix socket."""

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the connection has it; a proxy in front may have ended TLS."""

    def header(self, name: str, /) -> str | None:
        """The header of this lower-case name. Repeated ones are joined by ", ", cookies by "; "."""

    def take(self) -> Taken | None:
        """Its connection, for a WebSocket; None where the server keeps it. Raises Problem when it can't be had."""

    async def body(self, limit: int) -> bytes:
        """The whole body, of at most `limit` bytes; read it once.

        Raises Problem `body_too_large` or `request_timeout`, and `Disconnected`.
        """


class Response(msgspec.Struct):
    """An answer: header names in lower case, values in ASCII. The server adds `date` and `content-length`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def merge(items: Sequence[tuple[str, str]], fields: dict[str, str]) -> str:
    """Fill `fields` from `items`, joining repeated headers; gives the name of one that must not repeat, or ""."""
    fields.clear()
    repeated = ""
    for name, value in items:
        if name not in fields:
            fields[name] = value
            continue
        fields[name] += ("; " if name == "cookie" else ", ") + value
        if name in _SINGLE:
            repeated = name
    return repeated


def inspect(path: str, query: str, items: Sequence[tuple[str, str]], repeated: str) -> Problem | None:
    """What is wrong with the parts of a request: its address, its headers' number and size, or a repeated header."""
    if len(path) + len(query) > TARGET_LIMIT:
        return Problem("uri_too_long", f"The address may have {TARGET_LIMIT:,} characters, query included.")
    if len(items) > HEADER_COUNT_LIMIT:
        return Problem("headers_too_large", f"A request may have {HEADER_COUNT_LIMIT} headers.")
    if sum(len(name) + len(value) for name, value in items) > HEADER_SIZE_LIMIT:
        return Problem("headers_too_large", f"All headers together may have {HEADER_SIZE_LIMIT:,} characters.")
    if repeated:
        return Problem("invalid_header", f"`{repeated}` was sent more than once.")
    if UNREADABLE in path or UNREADABLE in query:
        return Problem("bad_request", "The address is not valid UTF-8.")
    return None


def too_large(limit: int) -> Problem:
    """The refusal of a body over `limit` bytes."""
    return Problem("body_too_large", f"The body may have {limit:,} bytes.")


def plain_address(host: str) -> str:
    """An address as people write it: an IPv4 address that came through an IPv6 socket is given as IPv4."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host
