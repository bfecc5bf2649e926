"""What becomes of a presented refresh token: a decision without I/O, made inside the write transaction."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from ramet.identity.tokens import hash_refresh, is_ours, read_refresh_token, same_hash, successor

MOST_KEPT = 100
"""Rotations remembered for their grace. A family rotated more often than that within it loses the oldest."""


class Line(Protocol):
    """The newest refresh token of a family: its hash, how many came before it, when the last ones were used.

    `rotated` is in microseconds since 1970, newest last.
    """

    @property
    def refresh_hash(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def rotated(self) -> list[int]: ...


class Decision(NamedTuple):
    """`rotate` and `again` give the token to answer with, `again` one that another caller was given before.

    `replay`: a token that was used longer ago than the grace. `unknown`: none that we gave out.
    """

    kind: Literal["rotate", "again", "replay", "unknown"]
    token: str = ""


def decide(line: Line, token: str, secret: bytes, now: int, grace: float) -> Decision:
    """What `token` is worth at `now`, in microseconds since 1970; `grace` is in seconds.

    A token used within the grace gives the newest of its line, which for the last one used is its one successor:
    so whoever comes a little late never holds a token that is about to count as a replay.
    """
    claim = read_refresh_token(token)
    if claim is None or claim.generation > line.generation:
        return Decision("unknown")
    back = line.generation - claim.generation
    if back == 0:
        current = same_hash(hash_refresh(token), line.refresh_hash)
        return Decision("rotate", successor(token, secret)) if current else Decision("unknown")
    if not is_ours(token, secret):
        return Decision("unknown")
    if back <= len(line.rotated) and now < line.rotated[-back] + int(grace * 1e6):
        newest = token
        for _ in range(back):
            newest = successor(newest, secret)
        if same_hash(hash_refresh(newest), line.refresh_hash):
            return Decision("again", newest)
    return Decision("replay")


def with_rotation(rotated: list[int], now: int, grace: float) -> list[int]:
    """The rotations to remember after one at `now`."""
    limit = now - int(grace * 1e6)
    return [*(at for at in rotated[1 - MOST_KEPT :] if at > limit), now]
