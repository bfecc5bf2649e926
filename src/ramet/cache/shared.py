"""The shared cache: finished answers that instances leave for each other, each judged by its reader's own log.

An answer is kept with a *stamp*: the snapshot of the log that whoever read it had applied before it read. Nothing about
its validity is kept beside it. A reader remembers which transactions have touched which tags, as its follower told it,
and takes an answer only if the stamp shows all of them that touched the answer's tags. What it takes is therefore never
older than its own copies, and so no older than what it may answer from its near cache: within `max_staleness` without
a position, and never before one that it has reached.

Whatever becomes of the place where answers are kept can only lose speed. Flushed, it is empty. Started again from an
old copy, or replaced by a replica that missed writes, it holds answers with old stamps, and their readers see through
these. A writer that was cut off leaves old stamps too. Two instances need not agree on anything.

What a reader does not remember it does not trust. At its start it reads from the log what was touched last, so that a
new instance is warm at once; stamps from before that are void. So are those of another timeline, which may show what a
lost primary never replicated.

Keys and answers are bound to the application's secret: who can write to the place cannot make up an answer.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import msgspec

from ramet.cache.near import MAX_TAGS, tags_of
from ramet.changes.change import Change
from ramet.changes.snapshot import Stamp, parse_snapshot
from ramet.changes.source import Touched

REMEMBERED = 8
"""Transactions that are remembered for one tag."""
FILLS = 64
"""Answers on their way to be kept at one time; others are not kept."""
FIRST = 20_000
"""Rows of the log that are read at the start."""
_SIGNED = 16


class Stamps(Protocol):
    """Who follows the log."""

    @property
    def stamp(self) -> Stamp: ...
    async def touched(self, limit: int) -> Sequence[Touched]: ...


class Blobs(Protocol):
    """Where answers are kept. Its methods raise `failure` when they fail, which they do within a bounded time."""

    failure: type[Exception]

    @property
    def available(self) -> bool: ...
    async def get(self, key: bytes) -> bytes | None: ...
    async def put(self, key: bytes, value: bytes, seconds: float) -> None: ...


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of an answer. `filled` is when, in seconds since 1970."""

    timeline: str
    snapshot: str
    etag: str
    filled: float
    body: bytes


class Found(NamedTuple):
    """An answer that may be given. `age` is in seconds."""

    body: bytes
    etag: str
    age: float


class SharedCache:
    """`namespace` differs for whoever would answer differently, `limit` bounds a body in bytes, `now` gives seconds.

    `longest` is for how many seconds an answer is kept at most: less than the log is kept, so that nothing that touched
    it is trimmed.
    """

    def __init__(
        self,
        blobs: Blobs,
        follower: Stamps,
        secret: bytes,
        namespace: str,
        *,
        limit: int,
        longest: float,
        now: Callable[[], float],
    ) -> None:
        self._blobs = blobs
        self._follower = follower
        self._secret = secret
        self._namespace = namespace.encode()
        self._limit = limit
        self._longest = longest
        self._now = now
        self._touches: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._floor: int | None = None
        self._fills: set[asyncio.Task[None]] = set()
        self.hits = self.misses = self.refused = 0

    async def start(self) -> None:
        """Learns which transactions touched what before this process followed the log."""
        rows = await self._follower.touched(FIRST)
        for row in reversed(rows):
            self._touch(tags_of(row.resource, row.record_id, row.owner), row.xid)
        floor = rows[-1].xid if len(rows) >= FIRST else 0
        self._floor = max(floor, self._floor or 0)

    async def stop(self) -> None:
        """Waits for answers on their way."""
        if self._fills:
            await asyncio.wait(self._fills)

    def apply(self, changes: Sequence[Change]) -> None:
        """Remembers what committed changes touched."""
        for change in changes:
            self._touch(tags_of(change.resource, change.record_id, change.owner), change.xid)

    def clear(self) -> None:
        """Rows were missed: only stamps from now on can be judged."""
        self._touches.clear()
        self._floor = None

    def stamp(self) -> Stamp | None:
        """To be taken before an answer is read that is to be kept; None when there is nowhere to keep it."""
        return self._follower.stamp if self._blobs.available else None

    async def find(self, key: Hashable, tags: tuple[str, ...]) -> Found | None:
        """The answer for a key, if it is no older than this process's copies."""
        name = self._name(key)
        if name is None or not self._blobs.available:
            return None
        try:
            value = await self._blobs.get(name)
        except self._blobs.failure:
            return None
        kept = None if value is None else self._open(name, value)
        if kept is None:
            self.misses += 1
            return None
        if not self.holds(Stamp(kept.timeline, parse_snapshot(kept.snapshot)), tags):
            self.refused += 1
            return None
        self.hits += 1
        return Found(kept.body, kept.etag, max(0.0, self._now() - kept.filled))

    def keep(self, key: Hashable, stamp: Stamp | None, body: bytes, etag: str, seconds: float) -> None:
        """Leaves an answer that was read after its stamp was taken. Nobody waits for it."""
        name = self._name(key)
        if stamp is None or name is None or len(body) > self._limit or len(self._fills) >= FILLS:
            return
        kept = Kept(stamp.timeline, str(stamp.snapshot), etag, self._now(), body)
        task = asyncio.create_task(self._put(name, msgspec.msgpack.encode(kept), min(seconds, self._longest)))
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    def holds(self, stamp: Stamp, tags: tuple[str, ...]) -> bool:
        """Whether an answer with this stamp holds all that has touched its tags, as far as this process knows."""
        own = self._follower.stamp
        if self._floor is None:
            self._floor = own.snapshot.high - 1
        snapshot = stamp.snapshot
        if stamp.timeline != own.timeline or snapshot.low <= self._floor:
            return False
        for tag in tags:
            touches = self._touches.get(tag, ())
            if len(touches) == REMEMBERED and min(touches) >= snapshot.low:
                return False  # there may have been others, which are forgotten
            for xid in touches:
                if not snapshot.shows(xid):
                    return False
        return True

    def filling(self) -> int:
        """Answers on their way."""
        return len(self._fills)

    def _touch(self, tags: Sequence[str], xid: int) -> None:
        touches = self._touches
        for tag in tags:
            known = touches.pop(tag, ())
            if xid not in known:
                known = (*known, xid)
                if len(known) > REMEMBERED:
                    # The lowest is forgotten: a stamp that does not show it is refused by those that are left.
                    known = tuple(sorted(known)[1:])
            touches[tag] = known
        while len(touches) > MAX_TAGS:
            _, forgotten = touches.popitem(last=False)
            self._floor = max(self._floor or 0, *forgotten)

    async def _put(self, name: bytes, value: bytes, seconds: float) -> None:
        try:
            await self._blobs.put(name, self._sign(name, value) + value, seconds)
        except self._blobs.failure:
            return

    def _open(self, name: bytes, value: bytes) -> Kept | None:
        """What was kept under a name; None when it is not what an instance has left there."""
        if not hmac.compare_digest(value[:_SIGNED], self._sign(name, value[_SIGNED:])):
            return None
        return msgspec.msgpack.decode(value[_SIGNED:], type=Kept)

    def _sign(self, name: bytes, value: bytes) -> bytes:
        return blake2b(name + value, key=self._secret, digest_size=_SIGNED).digest()

    def _name(self, key: Any) -> bytes | None:
        """What an answer is kept under; None for a key that only this process understands."""
        try:
            text = msgspec.msgpack.encode(key)
        except TypeError:
            return None
        digest = blake2b(self._namespace + b"\0" + text, key=self._secret, digest_size=24)
        return b"ramet:answer:" + digest.hexdigest().encode()
