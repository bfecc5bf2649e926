"""Reads that were asked before, word for word: what the request means is remembered, and its answer taken if it stands.

The stages are those of the pipeline, with all that cannot have changed for the same words left out: whose token it is,
what is asked for, and by which rule. What can have changed is asked every time, before anything is given: the log, the
token's life and revocation, the limit, and whether the answer has been touched.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from ramet.cache.near import Entry, NearCache
from ramet.changes.feed import Feed
from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS, Caller
from ramet.identity.verifier import Verifier
from ramet.limits.limiter import Limiter
from ramet.limits.policy import Allowance
from ramet.operations.operation import Operation, Result

REMEMBERED = 4_096


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """What the words of a request mean: the operation, the token it carries, and where its answer is kept."""

    name: str
    token: str | None
    key: Hashable


class Recalled(msgspec.Struct, gc=False):
    """A kept answer and who it is for."""

    name: str
    caller: Caller
    allowance: Allowance
    entry: Entry
    key: Hashable


class Recall:
    """Finds answers by the words of requests."""

    def __init__(self, feed: Feed, verifier: Verifier, limiter: Limiter, near: NearCache) -> None:
        self._sync = feed.sync
        self._verify = verifier.verify
        self._check = limiter.check
        self._near = near
        self._meanings: dict[Hashable, Meaning] = {}

    def learn(self, words: Hashable, operation: Operation, result: Result) -> None:
        """Remembers what the words meant, if their answer was kept. Not for callers known by a cookie."""
        if result.key is None or operation.via != "bearer":
            return
        if len(self._meanings) >= REMEMBERED:
            self._meanings.clear()
        self._meanings[words] = Meaning(operation.name, operation.token, result.key)

    def find(self, words: Hashable, group: str) -> Recalled | None:
        """The answer to the words, exact as of this call; None when the pipeline has to find it.

        `group` is the address for limits. Raises Problem `rate_limited`.
        """
        meaning = self._meanings.get(words)
        if meaning is None or not self._sync():
            return None
        try:
            caller = ANONYMOUS if meaning.token is None else self._verify(meaning.token)
        except Problem:
            del self._meanings[words]
            return None
        entry = self._near.get(meaning.key)
        if entry is None:
            return None
        return Recalled(meaning.name, caller, self._check("general", caller.id, group), entry, meaning.key)
