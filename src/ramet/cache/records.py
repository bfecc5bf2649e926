"""The JSON of single records, each with its version: a follower of the log, asked only by who knows the version.

A read takes from the database which records there are and at which versions, and what is kept of a record only if it
is of that very version. So nothing here can make an answer stale; it spares fetching and encoding what has not changed.
Bounded by bytes, in two generations: what is used moves to the recent one, and when that holds half of what is allowed
the older one is dropped. That keeps what is in use without any bookkeeping on a hit.
"""

from __future__ import annotations

from collections.abc import Sequence

from ramet.changes.change import Change

ENTRY_OVERHEAD = 300
Kept = tuple[int, bytes]


class Shelf:
    """The records of one resource: `recent` and `older` by id, each a version and JSON."""

    __slots__ = ("_records", "older", "recent")

    def __init__(self, records: Records) -> None:
        self._records = records
        self.recent: dict[str, Kept] = {}
        self.older: dict[str, Kept] = {}

    def find(self, record_id: str) -> Kept | None:
        """What is kept of a record, whatever its version."""
        kept = self.recent.get(record_id)
        if kept is None:
            kept = self.older.pop(record_id, None)
            if kept is not None:
                self.put(record_id, *kept)
        return kept

    def put(self, record_id: str, version: int, json: bytes) -> None:
        self._records.make_room(len(json) + ENTRY_OVERHEAD)
        self.recent[record_id] = version, json

    def drop(self, record_id: str) -> None:
        self.recent.pop(record_id, None)
        self.older.pop(record_id, None)


class Records:
    """The shelves of all resources, together of at most `capacity` bytes; with 0 nothing is kept."""

    def __init__(self, capacity: int, resources: Sequence[str]) -> None:
        self.capacity = capacity
        self._used = self._older = 0
        self._shelves = {name: Shelf(self) for name in resources} if capacity else {}

    def shelf(self, resource: str) -> Shelf | None:
        return self._shelves.get(resource)

    def make_room(self, size: int) -> None:
        """Counts `size` bytes; when they are too many the recent generation becomes the older one."""
        if self._used + size > self.capacity // 2:
            for shelf in self._shelves.values():
                shelf.older, shelf.recent = shelf.recent, {}
            self._used, self._older = 0, self._used
        self._used += size

    def apply(self, changes: Sequence[Change]) -> None:
        """Takes committed changes, in order, more than once if need be."""
        for change in changes:
            shelf = self._shelves.get(change.resource)
            if shelf is None:
                continue
            if change.kind == "deleted" or change.record is None:
                shelf.drop(change.record_id)
            else:
                shelf.put(change.record_id, change.version, change.record)

    def clear(self) -> None:
        """Forgets everything."""
        for shelf in self._shelves.values():
            shelf.recent, shelf.older = {}, {}
        self._used = self._older = 0

    @property
    def bytes(self) -> int:
        """What is kept takes about so much; records that were replaced count until their generation is dropped."""
        return self._used + self._older
