"""How log lines look: the access line of each request, as JSON or for people, and the time on every line."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from ramet.observe import RequestDone
from ramet.operate.masking import mask_text

Entry = tuple[float, RequestDone] | bytes
"""A request and when it was answered (seconds since the epoch), or a line that is finished already."""

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}


class AccessLine(msgspec.Struct, gc=False):
    """The fields of an access line, in order. `time` is RFC 3339 in UTC, `size` bytes of the body sent."""

    time: str
    level: str
    event: str
    request_id: str
    trace_id: str
    operation: str
    method: str
    path: str
    status: int
    seconds: float
    size: int
    cache: str
    caller: str | None
    address: str
    code: str


class JsonLines:
    """Entries to JSON lines."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def __call__(self, entries: Sequence[Entry]) -> bytes:
        lines = self._lines(entries)
        try:
            return self._encoder.encode_lines(lines)
        except UnicodeEncodeError:  # a text that is no UTF-8 must cost its own line some signs, and the others nothing
            return b"".join(map(self._careful, lines))

    def stamp(self, at: float) -> str:
        """`2026-01-31T12:00:00.000Z`"""
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1000):03d}Z"

    def _lines(self, entries: Sequence[Entry]) -> list[AccessLine | msgspec.Raw]:
        """Hot path: every request comes through here, so nothing is called that need not be."""
        lines: list[AccessLine | msgspec.Raw] = []
        line = AccessLine
        last, stamp = -1, ""
        for entry in entries:
            if isinstance(entry, bytes):
                lines.append(msgspec.Raw(entry))
                continue
            at, done = entry
            now = int(at * 1000)
            if now != last:
                last, stamp = now, self.stamp(at)
            path, status = done.path, done.status
            if "?" in path or "rt_" in path or "eyJ" in path:
                path = shown_path(path)
            lines.append(
                line(
                    stamp,
                    "info" if status < 500 else "error",
                    "request",
                    done.request_id,
                    done.trace_id,
                    done.operation,
                    done.method,
                    path,
                    status,
                    done.seconds * 1e6 // 1 / 1e6,  # whole microseconds
                    done.size,
                    done.cache,
                    done.caller,
                    done.address,
                    done.code,
                )
            )
        return lines

    def _careful(self, line: AccessLine | msgspec.Raw) -> bytes:
        if isinstance(line, msgspec.Raw):
            return bytes(line) + b"\n"
        whole = {name: _whole(value) for name, value in msgspec.structs.asdict(line).items()}
        return self._encoder.encode(whole) + b"\n"


class TextLines:
    """Entries to lines for people at a terminal, in local time."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, entries: Sequence[Entry]) -> bytes:
        lines = (entry if isinstance(entry, bytes) else self._access(*entry) for entry in entries)
        return b"".join(line + b"\n" for line in lines)

    def stamp(self, at: float) -> str:
        """`12:00:00.000`"""
        return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03d}"

    def _access(self, at: float, done: RequestDone) -> bytes:
        colour = _COLOURS.get(done.status // 100, "") if self._colours else ""
        dim, reset = (_DIM, _RESET) if self._colours else ("", "")
        notes = " ".join(note for note in (done.cache, done.code, done.operation, done.caller, done.address) if note)
        path = visible(shown_path(done.path))
        text = (
            f"{dim}{self.stamp(at)}{reset} {colour}{done.status}{reset} {done.method:<6} {path}"
            f" {dim}{done.seconds * 1000:.1f} ms {done.size} B {visible(notes)}{reset}"
        )
        return text.encode("utf-8", "backslashreplace")


def shown_path(path: str) -> str:
    """The path without query, and without what looks like a secret."""
    return mask_text(path.partition("?")[0])


def visible(text: str, keep: str = "") -> str:
    """The text with control characters, except those in `keep`, spelt out: a log line must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in keep else ascii(sign)[1:-1] for sign in text)


def _whole(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
