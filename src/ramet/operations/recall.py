"""Reads that were asked before, word for word: what the request means is remembered, and answered without waiting.

The stages are those of the pipeline, with all that cannot have changed for the same words left out: whose token it is,
what is asked for, by which rule, and in which statement. What can have changed is asked every time, before anything is
given: the log, the token's life and revocation, the limit, and whether a kept answer has been touched.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from ramet.cache.near import Entry, NearCache
from ramet.changes.feed import Feed
from ramet.data.store import Store
from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS, Caller
from ramet.identity.verifier import Verifier
from ramet.limits.limiter import Limiter
from ramet.limits.policy import Allowance
from ramet.operations.operation import Operation, Result
from ramet.operations.reading import Bound, Reading

REMEMBERED = 4_096
LONGEST = 2_048
"""Characters of the words of a request that is remembered."""
Words = tuple[str | None, ...]


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """What the words of a request mean: the operation, with its caller, and where its answer is.

    That is kept under `key`, or is read anew by the statement `bound` to this caller's values.
    """

    name: str
    token: str | None
    caller: Caller
    key: Hashable
    public: bool
    bound: Bound | None


class Recalled(msgspec.Struct, gc=False):
    """An answer, which is kept (`entry`) or was read just now (`result`), and what its receiver may still ask for."""

    meaning: Meaning
    allowance: Allowance
    entry: Entry | None
    result: Result | None


class Recall:
    """Finds answers by the words of requests."""

    def __init__(
        self, feed: Feed, verifier: Verifier, limiter: Limiter, near: NearCache, reading: Reading, store: Store
    ) -> None:
        self._sync = feed.sync
        self._verify = verifier.verify
        self._check = limiter.check
        self._near = near
        self._reading = reading
        self._inline = store.inline
        self._fetch = store.fetch_now
        self._meanings: dict[Words, Meaning] = {}
        self.meaning = self._meanings.get

    def learn(self, words: Words, operation: Operation, result: Result) -> None:
        """Remembers what the words meant; not for callers known by a cookie, nor when the answer was overtaken."""
        if operation.via != "bearer":
            return
        bound = None
        if result.key is None:
            if not operation.info.cache and self._inline:
                bound = self._reading.bind(operation, operation.permit)
            if bound is None:
                return
        if sum(len(word) for word in words if word is not None) > LONGEST:
            return
        if len(self._meanings) >= REMEMBERED:
            self._meanings.clear()
        self._meanings[words] = Meaning(
            operation.name, operation.token, operation.caller, result.key, result.public, bound
        )

    def find(self, words: Words, meaning: Meaning, group: str) -> Recalled | None:
        """The answer to the words, exact as of this call; None when the pipeline has to find it.

        `group` is the address for limits. Raises Problem `rate_limited`.
        """
        if not self._sync():
            return None
        caller = meaning.caller
        if meaning.token is not None:
            try:
                verified = self._verify(meaning.token)
            except Problem:
                verified = ANONYMOUS
            if verified.id != caller.id or (meaning.bound is not None and verified is not caller):
                del self._meanings[words]
                return None
        bound = meaning.bound
        if bound is None:
            entry = self._near.get(meaning.key)
            if entry is None:
                return None
            return Recalled(meaning, self._check("general", caller.id, group), entry, None)
        if bound.statement.costly:
            return None
        allowance = self._check("general", caller.id, group)
        try:
            rows = self._fetch(bound.statement, bound.arguments)
            return None if rows is None else Recalled(meaning, allowance, None, bound.finish(rows))
        except Problem:
            # Why it cannot be answered, such as that the record is gone, is for the pipeline to say.
            del self._meanings[words]
            return None
