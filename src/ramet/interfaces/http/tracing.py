"""Identifiers that tie a request to its log lines and to the systems around it.

`traceparent` is that of W3C Trace Context (https://www.w3.org/TR/trace-context/), read strictly: what does not
fit is as if it had not been sent. Identifiers come from the system's random source, taken in blocks because one
call for each identifier costs more than everything else here.
"""

from __future__ import annotations

import os
import re

_BLOCK = 256  # identifiers for one call of the random source

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_REQUEST_ID = re.compile(r"(?!rt_|eyJ)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # nothing that looks like a token
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16

_process = os.urandom(8).hex()  # the first half of each trace id that begins here
_pool: list[str] = []  # 64 random bits each; `pop` is atomic, so threads may share it
os.register_at_fork(after_in_child=_pool.clear)  # two processes never give out the same identifiers


def trace(header: str | None) -> tuple[str, str, bool]:
    """(trace id, a new span id for this request, sampled) from the `traceparent` header, or of a new trace.

    Trace ids have 32 hexadecimal digits and span ids 16, in lower case, never all zero. A new trace is not sampled.
    """
    if header is not None:
        found = _TRACEPARENT.fullmatch(header)
        if found is not None:
            version, trace_id, parent, flags, rest = found.groups()
            known = rest is None if version == "00" else version != "ff"
            if known and trace_id != _NO_TRACE and parent != _NO_SPAN:
                return trace_id, _new(), bool(int(flags, 16) & 1)
    return new_trace(), _new(), False


def new_trace() -> str:
    """The id of a trace that begins here."""
    return _process + _new()


def traceparent(trace_id: str, span_id: str, sampled: bool) -> str:
    """The header that a request to another system carries."""
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"


def request_id(header: str | None) -> str:
    """The incoming `X-Request-Id` when it is harmless (at most 64 letters, digits, `.`, `_`, `-`), else a new one."""
    if header is not None and _REQUEST_ID.fullmatch(header) is not None:
        return header
    return _new()


def _new() -> str:
    try:
        return _pool.pop()
    except IndexError:
        block = os.urandom(_BLOCK * 8).hex("-", 8)
        _pool.extend(block.split("-") if _NO_SPAN not in block else ())
        return _new()
