"""Reads that were asked before, word for word: what the request means is remembered, and its answer taken if it stands.

The stages are those of the pipeline, with all that cannot have changed for the same words left out: whose token it is,
what is asked for, and by which rule. What can have changed is asked every time, before anything is given: the log, the
token's life and revocation, the limit, and whether the answer has been touched.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import copy
from time import perf_counter

import msgspec

from ramet.cache.near import Entry, NearCache
from ramet.changes.feed import Feed
from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS, Caller
from ramet.identity.verifier import Verifier
from ramet.limits.limiter import Limiter
from ramet.limits.policy import Allowance
from ramet.operations.operation import Exchange, Operation, Result
from ramet.operations.reading import Reading

REMEMBERED = 4_096


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """What the words of a request mean: the operation, with its caller and permit, and where its answer is kept.

    An answer that is not kept (`key` is None) is read again, by the permit of the same caller.
    """

    operation: Operation
    key: Hashable
    public: bool


class Recalled(msgspec.Struct, gc=False):
    """A kept answer and who it is for; without `entry` an operation that has passed all stages but the last."""

    operation: Operation
    caller: Caller
    allowance: Allowance
    entry: Entry | None
    began: float
    meaning: Meaning


class Recall:
    """Finds answers by the words of requests."""

    def __init__(self, feed: Feed, verifier: Verifier, limiter: Limiter, near: NearCache, reading: Reading) -> None:
        self._sync = feed.sync
        self._verify = verifier.verify
        self._check = limiter.check
        self._near = near
        self._read = reading.execute
        self._meanings: dict[Hashable, Meaning] = {}

    async def read(self, operation: Operation) -> Result:
        """The answer of a recalled operation."""
        return await self._read(operation, operation.query, operation.permit)

    def learn(self, words: Hashable, operation: Operation, result: Result) -> None:
        """Remembers what the words meant; not for callers known by a cookie, nor when the answer was overtaken."""
        if operation.via != "bearer" or (result.key is None and operation.info.cache):
            return
        if len(self._meanings) >= REMEMBERED:
            self._meanings.clear()
        self._meanings[words] = Meaning(operation, result.key, result.public)

    def find(self, words: Hashable, group: str) -> Recalled | None:
        """The answer to the words, exact as of this call; None when the pipeline has to find it.

        `group` is the address for limits. Raises Problem `rate_limited`.
        """
        began = perf_counter()
        meaning = self._meanings.get(words)
        if meaning is None or not self._sync():
            return None
        template = meaning.operation
        try:
            caller = ANONYMOUS if template.token is None else self._verify(template.token)
        except Problem:
            del self._meanings[words]
            return None
        if meaning.key is None:
            if caller is not template.caller:
                return None
            operation = copy(template)
            operation.marks = []
            operation.exchange = Exchange()
            allowance = operation.allowance = self._check("general", caller.id, group)
            return Recalled(operation, caller, allowance, None, began, meaning)
        entry = self._near.get(meaning.key)
        if entry is None:
            return None
        return Recalled(template, caller, self._check("general", caller.id, group), entry, began, meaning)
