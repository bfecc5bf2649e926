"""Who an operation runs for."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Via = Literal["anonymous", "bearer", "cookie", "system"]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Somebody who asks for an operation: only what the access token says, so that knowing it needs no I/O.

    `id` is the user, `session` the sign-in that the token belongs to; both are None for anonymous callers and for the
    system. Times are seconds since the epoch: of the token's issue, and until when it is accepted. `via` is how the
    caller was recognised.
    """

    id: str | None
    roles: frozenset[str]
    session: str | None
    issued_at: float
    expires_at: float
    via: Via

    @property
    def signed_in(self) -> bool:
        """Whether this is a known user."""
        return self.id is not None


ANONYMOUS = Caller(None, frozenset(), None, 0.0, math.inf, "anonymous")
_SYSTEM = Caller(None, frozenset(), None, 0.0, math.inf, "system")


def system() -> Caller:
    """The application itself: command lines, hooks, start-up. Known by its `via`, never by a role a user could hold."""
    return _SYSTEM
