"""What lies between two snapshots of a log that is followed by transactions, and the marks of rows in it.

A mark is the snapshot of everything told before; in the middle of the rows up to a later one, also that one and the
number of the last row. So whoever breaks off anywhere misses nothing, in whatever order transactions end.
"""

from __future__ import annotations

import re

import msgspec

from ramet.changes.snapshot import Snapshot

MOST_OPEN = 64
"""Open transactions that a mark names. With more, those that began later count as not seen, and may be told again."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NUMBER = r"(?:0|[1-9a-z][0-9a-z]{0,12})"
_SNAPSHOT = rf"{_NUMBER}(?:\.{_NUMBER}){{1,{MOST_OPEN + 1}}}"
_MARK = re.compile(
    rf"([0-9a-z]{{8}})-([0-9A-F]{{8}})-({_NUMBER})-({_SNAPSHOT})(?:-({_SNAPSHOT})-({_NUMBER}))?", re.ASCII
)
_MOST = 2**63 - 1


class Span(msgspec.Struct, frozen=True, gc=False):
    """The rows that `new` shows and `old`, taken at `at` (microseconds since 1970), does not.

    `timeline` names the history of the database: what a mark of another one has seen may never have been.
    """

    incarnation: str
    timeline: str
    at: int
    old: Snapshot
    new: Snapshot

    def mark(self, seq: int) -> str:
        """The place after row `seq`."""
        return f"{self._head(self.old)}-{_written(self.new)}-{_number(seq)}"

    @property
    def end(self) -> str:
        """The place after all rows."""
        return self._head(self.new)

    def _head(self, snapshot: Snapshot) -> str:
        # Seconds, rounded down: too early is safe.
        return f"{self.incarnation}-{self.timeline}-{_number(self.at // 1_000_000)}-{_written(snapshot)}"


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A mark read back. `new` is None for the place after a whole span, `seq` then 0."""

    incarnation: str
    timeline: str
    at: int
    old: Snapshot
    new: Snapshot | None
    seq: int


def parse_mark(text: str) -> Mark | None:
    """A mark from a client; None for what we never gave out."""
    match = _MARK.fullmatch(text)
    if match is None:
        return None
    try:
        new = None if match[5] is None else _read(match[5])
        seq = _bounded(int(match[6] or "0", 36))
        return Mark(match[1], match[2], int(match[3], 36) * 1_000_000, _read(match[4]), new, seq)
    except ValueError:
        return None


def _written(snapshot: Snapshot) -> str:
    """The low-water mark, then the others as distances from it."""
    running = sorted(snapshot.open)
    high = running[MOST_OPEN] if len(running) > MOST_OPEN else snapshot.high
    distances = [number - snapshot.low for number in (high, *running[:MOST_OPEN])]
    return ".".join(map(_number, (snapshot.low, *distances)))


def _read(text: str) -> Snapshot:
    low, *distances = [int(part, 36) for part in text.split(".")]
    high, *running = [_bounded(low + distance) for distance in distances]
    found = Snapshot(low, high, frozenset(running))
    if not low or any(number >= high for number in running):
        raise ValueError("Not a snapshot.")
    return found


def _bounded(number: int) -> int:
    if number > _MOST:
        raise ValueError("Too large for a number of the log.")
    return number


def _number(value: int) -> str:
    digits = ""
    while value:
        value, rest = divmod(value, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"
