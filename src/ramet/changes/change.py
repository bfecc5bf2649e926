"""One row of the change log, and a position in it."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Kind = Literal["created", "updated", "deleted", "before"]
"""`before` is no change of its own: the record as it was before the `updated` row that follows, written where the
update may alter who can read it, so that followers can tell whose view it leaves."""
_POSITION = re.compile(r"([0-9a-z]{8})-(\d{1,18})", re.ASCII)


class Change(msgspec.Struct, gc=False):
    """One committed change. `record` is its JSON after it (before it, for a deletion), hidden fields left out.

    `xid` names its transaction where `seq` is not the order of commits; it is 0 where it is.
    """

    seq: int
    at: int
    resource: str
    record_id: str
    kind: Kind
    version: int
    owner: str | None
    record: bytes | None
    xid: int = 0


class Position(msgspec.Struct, frozen=True, gc=False):
    """How far a follower has come, or must have come: a place in one incarnation of the log. Opaque to clients.

    `seq` is that of the newest row where that is the order of commits, else the transaction's id.
    """

    incarnation: str
    seq: int

    def __str__(self) -> str:
        return f"{self.incarnation}-{self.seq}"


def parse_position(text: str) -> Position | None:
    """A position from the wire; None for what we never gave out, which means the primary."""
    match = _POSITION.fullmatch(text)
    return Position(match[1], int(match[2])) if match else None
