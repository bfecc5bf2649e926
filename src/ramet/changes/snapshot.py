"""Which transactions a follower has come through, where their ids are not the order of their commits."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """Every transaction below `low` has ended; from `high` on none has; of those between, the `open` ones have not.

    `low` is the low-water mark, and what lies between and is not `open` the set of those applied above it. A long
    transaction keeps `low` where it is; `open` holds no more than run at one time.
    """

    low: int
    high: int
    open: frozenset[int]

    def shows(self, xid: int) -> bool:
        """Whether a transaction that was committed had been when the snapshot was taken."""
        return xid < self.low or (xid < self.high and xid not in self.open)

    def __str__(self) -> str:
        return f"{self.low}:{self.high}:{','.join(map(str, sorted(self.open)))}"


class Stamp(NamedTuple):
    """How far a follower had come: what it had applied, on one timeline of its database."""

    timeline: str
    snapshot: Snapshot


def parse_snapshot(text: str) -> Snapshot:
    """`low:high:open,open`, as written by `str`. Raises ValueError for anything else."""
    low, high, running = text.split(":")
    return Snapshot(int(low), int(high), frozenset(map(int, running.split(",") if running else ())))
