"""The follower of the log that keeps revocations: what one process ends, every process refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from ramet.changes.change import Change
from ramet.identity.verifier import Verifier

REVOKING = ("User", "Session")


class _SessionState(msgspec.Struct):
    ended_at: datetime | None = None


class _UserState(msgspec.Struct):
    access_changed_at: datetime | None = None


_session = msgspec.json.Decoder(_SessionState).decode
_user = msgspec.json.Decoder(_UserState).decode


class Revocations:
    """Tells `verifier` of sessions that ended and users whose rights changed; calls `keys_changed` for signing keys."""

    def __init__(self, verifier: Verifier, keys_changed: Callable[[], None]) -> None:
        self._verifier = verifier
        self._keys_changed = keys_changed

    def apply(self, changes: Sequence[Change]) -> None:
        """Takes committed changes, in order, more than once if need be."""
        for change in changes:
            if change.resource == "Session":
                if change.kind == "deleted" or _session(change.record or b"{}").ended_at is not None:
                    self._verifier.revoke_session(change.record_id)
            elif change.resource == "User":
                if change.kind == "deleted":
                    # A microsecond more: the token may have been made in the one in which the user was deleted.
                    self._verifier.revoke_user_before(change.record_id, (change.at + 1) / 1e6)
                elif change.kind == "updated":
                    self._changed(change)
            elif change.resource == "SealedKey":
                self._keys_changed()

    def load(self, changes: Iterable[Change]) -> None:
        """Takes the changes of users and sessions from before this process began."""
        for change in changes:
            self.apply((change,))

    def _changed(self, change: Change) -> None:
        since = _user(change.record or b"{}").access_changed_at
        if since is not None:
            self._verifier.revoke_user_before(change.record_id, since.timestamp())
