"""The JSON of single records, each with its version, for as long as a burst of reads: a follower of the log.

A read takes from the database which records there are and at which versions, and what is kept of a record only if it
is of that very version. What is kept was read and encoded by this process within the last `LIFE` seconds, with nothing
logged of the record since. So even a change past Ramet that leaves a version as it was shows within that time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ramet.changes.change import Change

ENTRY_OVERHEAD = 300
LIFE = 1.0
Shelf = dict[str, tuple[int, bytes]]
"""The records of one resource by id, each a version and JSON."""


class Records:
    """The shelves of all resources, together of at most `capacity` bytes; with 0 there are none.

    `clock` gives monotonic seconds.
    """

    def __init__(self, capacity: int, resources: Sequence[str], clock: Callable[[], float]) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._clock = clock
        self._ends = 0.0
        self._shelves: dict[str, Shelf] = {name: {} for name in resources} if capacity else {}

    def shelf(self, resource: str) -> Shelf | None:
        """What is kept of a resource; None when nothing ever is. Ask `fresh` before each use."""
        return self._shelves.get(resource)

    def fresh(self) -> None:
        """Forgets what has been kept for long enough."""
        now = self._clock()
        if now >= self._ends:
            self.clear()
            self._ends = now + LIFE

    def put(self, shelf: Shelf, record_id: str, version: int, json: bytes) -> None:
        """Keeps a record as it was just read, if it is not too large a part of what may be kept."""
        size = len(json) + ENTRY_OVERHEAD
        if size > self.capacity // 8:
            return
        if self.bytes + size > self.capacity:
            self.clear()
        self.bytes += size
        shelf[record_id] = version, json

    def apply(self, changes: Sequence[Change]) -> None:
        """Forgets the records of committed changes."""
        for change in changes:
            shelf = self._shelves.get(change.resource)
            if shelf:
                shelf.pop(change.record_id, None)

    def clear(self) -> None:
        """Forgets everything."""
        for shelf in self._shelves.values():
            shelf.clear()
        self.bytes = 0
