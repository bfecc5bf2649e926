"""A bounded table of counters in flat memory: 64 bytes for each subject, the stalest forgotten first.

Eight slots make a set: a row of eight keys, then eight bodies. A subject's key, a keyed 64-bit hash of its name, says
which set it belongs to; the hash key is random, so nobody outside can aim at a set. A body holds when all of it will
have expired (0: empty), the units in the earlier cells, those in the current cell, after how many further cells the
first unit comes back, and the units of each of the `CELLS` cells before the current one, oldest first.

A request of a subject already counted in this cell changes one 16-bit number and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import struct
from hashlib import blake2b

from ramet.limits.policy import CELLS, Decision, Policy
from ramet.limits.storage import HEADER_BYTES, SET_BYTES, WAYS, Region

_BODIES = 8 * WAYS
_BODY_BYTES = 56
_KEYS = struct.Struct(f"={WAYS}Q")
_FRONT = struct.Struct("=QHHH")
_PAST = struct.Struct(f"={CELLS}H")
_BODY = struct.Struct(f"=QHHH{CELLS}H")
_EXPIRIES = struct.Struct("=" + "Q48x" * WAYS)
_CURRENT = 10  # where the count of the current cell stands in a body
_NONE = (0,) * CELLS
_PLACES_REMEMBERED = 4096
_read_front = _FRONT.unpack_from


class Table:
    """The counter of one policy in memory that no other process writes. For one thread: that of the event loop.

    `evicted` counts subjects forgotten before their time because more were active than the table holds.
    """

    def __init__(self, policy: Policy, region: Region) -> None:
        self.policy = policy
        self.evicted = 0
        self._quota = policy.quota
        self._cell = policy.cell_ns
        self._span = policy.cell_ns * (CELLS + 1)
        self._fresh = policy.cell_ns * CELLS
        self._before_expiry = tuple(policy.cell_ns * (CELLS + 1 - steps) for steps in range(CELLS + 2))
        self._mask = region.slots // WAYS - 1
        self._memory = region.memory
        self._keys = memoryview(region.memory).cast("Q")
        self._counts = memoryview(region.memory).cast("H")
        self._secret = region.key
        # Where each subject was last found: its key, its set, and the indexes of its key and its body.
        self._places: dict[str, tuple[int, int, int, int]] = {}

    def take(self, subject: str, cost: int, now_ns: int) -> Decision:
        """See `Counter.take`."""
        key, _, at, body = self._places.get(subject) or self._place(subject)
        if self._keys[at] != key:
            body = self._find(subject) or self._claim(subject, now_ns)
        expires, past, current, steps = _read_front(self._memory, body)
        if expires - now_ns <= self._fresh:
            expires, past, current, steps = self._advance(body, now_ns)
        free = self._quota - past - current
        reset = expires - self._before_expiry[steps] - now_ns
        if cost <= free:
            self._counts[body + _CURRENT >> 1] = current + cost
            return Decision(True, free - cost, reset)
        if cost - free > 1:
            reset = self._until_free(body, expires, cost - free) - now_ns
        return Decision(False, max(0, free), reset)

    def divide(self, parts: int) -> None:
        """Hands out one of so many equal parts of the limit from now on; one unit at least."""
        self._quota = max(1, self.policy.quota // parts)

    def count(self, subject: str, cost: int, now_ns: int) -> None:
        """Counts units that were admitted elsewhere, up to the whole limit."""
        quota, self._quota = self._quota, self.policy.quota
        self.take(subject, cost, now_ns)
        self._quota = quota

    def peek(self, subject: str, now_ns: int) -> Decision:
        """See `Counter.peek`."""
        if self._find(subject):
            return Table.take(self, subject, 0, now_ns)
        return Decision(True, self._quota, 0)

    def charge(self, subject: str, cost: int, now_ns: int) -> Decision:
        """See `Counter.charge`."""
        return self.take(subject, cost, now_ns)

    def give_back(self, subject: str, now_ns: int) -> None:
        """See `Counter.give_back`: takes from the newest cell, if that has anything."""
        body = self._find(subject)
        if body:
            expires, _, current, _ = _read_front(self._memory, body)
            if current and expires > now_ns:
                self._counts[body + _CURRENT >> 1] = current - 1

    def close(self) -> None:
        self._keys.release()
        self._counts.release()
        self._memory.close()

    def _place(self, subject: str) -> tuple[int, int, int, int]:
        """The subject's key and set, and the first way of that set until `_find` or `_claim` knows better."""
        digest = blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret).digest()
        key = int.from_bytes(digest, "little") or 1  # 0 marks an empty slot
        start = HEADER_BYTES + (key & self._mask) * SET_BYTES
        if len(self._places) >= _PLACES_REMEMBERED:
            self._places.clear()
        return self._remember(subject, key, start, 0)

    def _remember(self, subject: str, key: int, start: int, way: int) -> tuple[int, int, int, int]:
        place = key, start, (start >> 3) + way, start + _BODIES + way * _BODY_BYTES
        self._places[subject] = place
        return place

    def _find(self, subject: str) -> int:
        """Where the body of a counted subject begins; 0 when it is not counted."""
        key, start, _, _ = self._places.get(subject) or self._place(subject)
        keys = _KEYS.unpack_from(self._memory, start)
        return self._remember(subject, key, start, keys.index(key))[3] if key in keys else 0

    def _claim(self, subject: str, now_ns: int) -> int:
        """A body for a subject not in its set: an empty slot, or else the stalest, which expires first."""
        key, start, _, _ = self._places[subject]
        expiries = _EXPIRIES.unpack_from(self._memory, start + _BODIES)
        first = min(expiries)
        if first > now_ns:
            self.evicted += 1
        _, _, at, body = self._remember(subject, key, start, expiries.index(first))
        # The key first: a process killed in between leaves a new subject with an old count, not an old one with none.
        self._keys[at] = key
        _BODY.pack_into(self._memory, body, now_ns + self._span, 0, 0, CELLS + 1, *_NONE)
        return body

    def _advance(self, body: int, now_ns: int) -> tuple[int, int, int, int]:
        """Begin the cell that `now_ns` is in: cells older than a window leave, with their units."""
        expires, _, current, _ = _read_front(self._memory, body)
        if expires <= now_ns:
            expires, past, steps, cells = now_ns + self._span, 0, CELLS + 1, _NONE
        else:
            gone = (now_ns + self._span - expires) // self._cell
            cells = (*_PAST.unpack_from(self._memory, body + _FRONT.size), current, *_NONE)[gone : gone + CELLS]
            expires += gone * self._cell
            past = sum(cells)
            steps = next((index for index, used in enumerate(cells, 1) if used), CELLS + 1)
        _BODY.pack_into(self._memory, body, expires, past, 0, steps, *cells)
        return expires, past, 0, steps

    def _until_free(self, body: int, expires: int, missing: int) -> int:
        """When so many units more will be free than are now; the end of everything counted when they never will."""
        for steps, used in enumerate(_PAST.unpack_from(self._memory, body + _FRONT.size), 1):
            missing -= used
            if missing <= 0:
                return expires - self._before_expiry[steps]
        return expires


class SharedTable(Table):
    """A table that several processes of one machine write, so that a limit holds for their sum.

    Each change is made under a lock on the bytes of its set. The lock is the process's own (a POSIX record lock): it
    survives a fork without being shared, and the kernel lets go of it when the process dies, however it dies. What a
    killed process was writing at that moment may be wrong for one subject until it expires.
    """

    def __init__(self, policy: Policy, region: Region) -> None:
        super().__init__(policy, region)
        if region.descriptor is None:
            raise ValueError("a shared table needs a file")
        self._descriptor = region.descriptor

    def take(self, subject: str, cost: int, now_ns: int) -> Decision:
        start = (self._places.get(subject) or self._place(subject))[1]
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, SET_BYTES, start)
        try:
            return Table.take(self, subject, cost, now_ns)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, SET_BYTES, start)

    def peek(self, subject: str, now_ns: int) -> Decision:
        start = (self._places.get(subject) or self._place(subject))[1]
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, SET_BYTES, start)
        try:
            return Table.peek(self, subject, now_ns)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, SET_BYTES, start)

    def give_back(self, subject: str, now_ns: int) -> None:
        start = (self._places.get(subject) or self._place(subject))[1]
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, SET_BYTES, start)
        try:
            Table.give_back(self, subject, now_ns)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, SET_BYTES, start)

    def close(self) -> None:
        super().close()
        os.close(self._descriptor)
