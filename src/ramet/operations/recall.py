"""Reads that were asked before, word for word: what the request means is remembered, and answered without waiting.

The stages are those of the pipeline, with all that cannot have changed for the same words left out: whose token it is,
what is asked for, by which rule, and in which statement. What can have changed is asked every time, before anything is
given: the log, the token's life and revocation, the limit, and whether a kept answer has been touched.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

import msgspec

from ramet.cache.near import Entry, NearCache
from ramet.changes.feed import Feed
from ramet.data.store import Store
from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS, Caller
from ramet.identity.verifier import Verifier
from ramet.limits.leases import Unleased
from ramet.limits.limiter import Limiter
from ramet.limits.policy import Allowance
from ramet.operations.bound import Bound
from ramet.operations.creating import Creation
from ramet.operations.handlers import Handlers
from ramet.operations.operation import Operation, Result

REMEMBERED = 4_096
LONGEST = 1_536
MOST_VALUES = 32
"""Characters of the words of a request that is remembered, and values of its statement."""
Words = tuple[str | None, ...]
M = TypeVar("M")


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


class CreateMeaning(msgspec.Struct, frozen=True, gc=False):
    """What the words of a create mean, its body aside: who makes a record of what; `path` is the resource's."""

    name: str
    token: str
    caller: Caller
    path: str
    creation: Creation


class Recalled(msgspec.Struct, gc=False):
    """An answer, which is kept (`entry`) or was read just now (`result`), and what its receiver may still ask for."""

    meaning: Meaning
    allowance: Allowance
    entry: Entry | None
    result: Result | None


class Recall:
    """Finds answers by the words of requests."""

    def __init__(
        self, feed: Feed, verifier: Verifier, limiter: Limiter, near: NearCache, handlers: Handlers, store: Store
    ) -> None:
        self._sync = feed.sync
        self.reached = feed.reached
        self._verify = verifier.verify
        self._check = limiter.check
        self._charge = limiter.charge
        self._uncount = limiter.uncount
        self._near = near
        self._reading = handlers.reading
        self._inline = store.inline
        self._fetch = store.fetch_now
        self._changing = handlers.changing
        self._meanings: dict[Words, Meaning] = {}
        self._creates: dict[Words, CreateMeaning] = {}
        self.meaning = self._meanings.get
        self.create_meaning = self._creates.get

    def learn(self, words: Words, operation: Operation, result: Result) -> None:
        """Remembers what the words meant; not for callers known by a cookie, nor when the answer was overtaken."""
        if operation.via != "bearer":
            return
        bound = None
        if result.key is None:
            if not operation.info.cache and self._inline:
                bound = self._reading.bind_again(operation, operation.permit)
            if bound is None or len(bound.arguments) > MOST_VALUES:
                return
        meaning = Meaning(operation.name, operation.token, operation.caller, result.key, result.public, bound)
        _remember(self._meanings, words, meaning)

    def learn_create(self, words: Words, operation: Operation) -> None:
        """Remembers what the words of a create meant, if others with the same words need nothing else looked at."""
        if operation.via != "bearer" or operation.token is None:
            return
        creation = self._changing.creation(operation)
        if creation is not None:
            path = operation.info.path
            meaning = CreateMeaning(operation.name, operation.token, operation.caller, path, creation)
            _remember(self._creates, words, meaning)

    def charge(self, group: str) -> None:
        """Counts what cannot be understood for its sender. Raises Problem `rate_limited`."""
        self._charge(None, group)

    def admit(self, words: Words, meaning: CreateMeaning, group: str) -> Allowance:
        """What the caller of a known create may still ask for; `group` is the address for limits.

        Raises Problem as the pipeline does: for a token that has ended, and `rate_limited`. Raises Unleased.
        """
        self._sync()
        try:
            self._verify(meaning.token)
        except Problem:
            self._creates.pop(words, None)
            self._charge(None, group)
            raise
        return self._check("general", meaning.caller.id, group)

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
                self._meanings.pop(words, None)
                return None
        bound = meaning.bound
        if bound is None:
            entry = self._near.get(meaning.key)
            if entry is None:
                return None
            try:
                return Recalled(meaning, self._check("general", caller.id, group), entry, None)
            except Unleased:
                return None
        if bound.statement.costly:
            return None
        try:
            allowance = self._check("general", caller.id, group)
        except Unleased:
            return None
        try:
            result = bound.read(self._fetch)
        except Problem:
            # Why it cannot be answered, such as that the record is gone, is for the pipeline to say.
            self._meanings.pop(words, None)
            result = None
        if result is None:
            self._uncount(caller.id, group)
            return None
        return Recalled(meaning, allowance, None, result)


def _remember(meanings: dict[Words, M], words: Words, meaning: M) -> None:
    if sum(len(word) for word in words if word is not None) > LONGEST:
        return
    if len(meanings) >= REMEMBERED:
        meanings.clear()
    meanings[words] = meaning
