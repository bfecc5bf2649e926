"""The hot path of identity: a token is verified once, then remembered until it expires or is revoked."""

from __future__ import annotations

import time
from collections.abc import Callable

from ramet.errors import Problem
from ramet.identity.caller import Caller, Via
from ramet.identity.tokens import SKEW, AccessTokens, expired, refuse

# What an entry takes beside the token's characters: its caller, two identifiers, two times and a place in the table.
_ENTRY = 360


class Verifier:
    """Turns access tokens into callers without I/O.

    Remembers at most `capacity` tokens and about `size` bytes, in two generations: what is used moves to the recent
    one; when that holds half of what is allowed, or has stood for a token's life, the older one is dropped. That keeps
    what is in use without any bookkeeping on a hit.

    Revocations are asked at every use, before and after a token is remembered, and forgotten when every token they
    could concern has expired. Refused tokens are not remembered: a forger sends a new one each time, and rate limits
    bound the rest.
    """

    def __init__(
        self,
        tokens: AccessTokens,
        clock: Callable[[], float] = time.time,
        *,
        capacity: int = 100_000,
        size: int = 33_554_432,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        # No token known now can be valid after this long, not even one from an instance whose clock runs ahead.
        self._life = tokens.ttl + tokens.leeway + SKEW
        self._entries = max(1, capacity // 2)
        self._bytes = size // 2
        self._recent: dict[str, Caller] = {}
        self._older: dict[str, Caller] = {}
        self._recent_bytes = 0
        self._turned_at = self._swept_at = clock()
        # Session to when it may be forgotten; user to the instant before which tokens are refused, and the same.
        self._ended: dict[str, float] = {}
        self._before: dict[str, tuple[float, float]] = {}

    def verify(self, token: str, via: Via = "bearer") -> Caller:
        """Who presents `token`, by header or cookie.

        Raises Problem invalid_token (also when the user's earlier tokens were revoked: refreshing helps) or
        session_ended (it does not).
        """
        caller = self._recent.get(token)
        now = self._clock()
        if caller is None:
            caller = self._admit(token, now, via)
        if caller.expires_at <= now:
            expired()
        if self._ended and caller.session in self._ended:
            raise Problem("session_ended")
        if self._before and caller.id in self._before and caller.issued_at < self._before[caller.id][0]:
            refuse()
        if caller.via != via:
            return Caller(caller.id, caller.roles, caller.session, caller.issued_at, caller.expires_at, via)
        return caller

    def admit(self, caller: Caller) -> None:
        """Raises the Problem with which a token of `caller` would be refused by now: for who was let in for long."""
        if caller.expires_at <= self._clock():
            expired()
        if caller.session in self._ended:
            raise Problem("session_ended")
        if caller.id in self._before and caller.issued_at < self._before[caller.id][0]:
            refuse()

    def revoke_session(self, session: str) -> None:
        """Refuses every token of this session from now on, seen before or not."""
        now = self._clock()
        self._forget(now)
        self._ended[session] = now + self._life

    def revoke_user_before(self, user: str, instant: float) -> None:
        """Refuses the user's tokens issued before `instant`, in seconds since the epoch; those of `instant` stay."""
        now = self._clock()
        self._forget(now)
        known = self._before.get(user)
        if known is None or known[0] < instant:
            self._before[user] = (instant, max(now, instant) + self._life)

    def clear(self) -> None:
        """Forgets remembered tokens, so that each is verified again: after a key was withdrawn. Revocations stay."""
        self._recent, self._older, self._recent_bytes = {}, {}, 0

    def counts(self) -> dict[str, int]:
        """How many tokens, ended sessions and users with refused tokens are remembered."""
        return {
            "tokens": len(self._recent) + len(self._older),
            "sessions": len(self._ended),
            "users": len(self._before),
        }

    def _admit(self, token: str, now: float, via: Via) -> Caller:
        caller = self._older.pop(token, None) or self._tokens.verify(token, now, via)
        cost = len(token) + _ENTRY
        full = len(self._recent) >= self._entries or self._recent_bytes + cost > self._bytes
        if full or now - self._turned_at > self._life:
            self._older, self._recent, self._recent_bytes, self._turned_at = self._recent, {}, 0, now
        self._recent[token] = caller
        self._recent_bytes += cost
        return caller

    def _forget(self, now: float) -> None:
        """Drops revocations that no token can need any more; a quarter of a token's life apart, so it costs little."""
        if now - self._swept_at < self._life / 4:
            return
        self._swept_at = now
        self._ended = {session: until for session, until in self._ended.items() if until > now}
        self._before = {user: entry for user, entry in self._before.items() if entry[1] > now}
