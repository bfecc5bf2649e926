"""The near cache: finished response bodies in this process, bounded by bytes, never stale by its tags.

Each tag has a generation: the value of one counter when a change last touched it. An answer is valid while none of
its tags has a generation beyond the counter at which its load began. Generations themselves are bounded: forgetting
one raises the floor below which answers count as touched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from sys import getsizeof
from typing import Any

from ramet.changes.change import Change

ENTRY_OVERHEAD = 600
MAX_TAGS = 100_000


def tags_of(resource: str, record_id: str, owner: str | None) -> tuple[str, ...]:
    """The tags that a change of a record touches."""
    tags = (resource, f"{resource}:{record_id}")
    return tags if owner is None else (*tags, owner_tag(resource, owner))


def owner_tag(resource: str, owner: str) -> str:
    """The tag of what somebody owns of a resource."""
    return f"{resource}:owner:{owner}"


class Entry:
    """One finished answer. `variants` holds its compressed forms; `headers` what goes with each.

    `checked_at` is the counter at which it was last seen that nothing had touched it.
    """

    __slots__ = ("body", "checked_at", "etag", "expires", "filled_at", "headers", "size", "tags", "variants")

    def __init__(self, body: bytes, etag: str, tags: tuple[str, ...], filled_at: int, expires: float) -> None:
        self.body = body
        self.etag = etag
        self.tags = tags
        self.filled_at = filled_at
        self.checked_at = -1
        self.expires = expires
        self.size = len(body) + ENTRY_OVERHEAD
        self.variants: dict[str, bytes] = {}
        self.headers: dict[str, list[tuple[str, str]]] = {}


class NearCache:
    """`capacity` in bytes; `clock` gives monotonic seconds."""

    def __init__(self, capacity: int, clock: Callable[[], float], max_tags: int = MAX_TAGS) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._clock = clock
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._generations: OrderedDict[str, int] = OrderedDict()
        self._max_tags = max_tags
        self._floor = 0
        self.counter = 0

    def __len__(self) -> int:
        return len(self._entries)

    def now(self) -> float:
        """The present of its clock, from which an entry's `expires` counts."""
        return self._clock()

    def get(self, key: Hashable) -> Entry | None:
        """The answer for a key if nothing has touched it and it has not expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        # Nothing has changed since it was last found valid: most reads are of such answers.
        if entry.checked_at != self.counter:
            if self.touched(entry.tags, entry.filled_at):
                self._drop(key, entry)
                return None
            entry.checked_at = self.counter
        if entry.expires <= self._clock():
            self._drop(key, entry)
            return None
        self._entries.move_to_end(key)
        return entry

    def touched(self, tags: tuple[str, ...], since: int) -> bool:
        """Whether a change after the counter stood at `since` touched any of the tags, as far as is remembered."""
        if since < self._floor:
            return True
        generation = self._generations.get
        for tag in tags:
            if generation(tag, 0) > since:
                return True
        return False

    def put(self, key: Hashable, entry: Entry) -> bool:
        """Keeps an answer unless a change has touched it since its load began; False when refused.

        Its key counts as well: callers choose it, and one of 8 kB may stand for an empty list.
        """
        entry.size += _weigh(key)
        if entry.size > self.capacity // 8 or self.touched(entry.tags, entry.filled_at):
            return False
        old = self._entries.pop(key, None)
        if old is not None:
            self.bytes -= old.size
        self._entries[key] = entry
        self.bytes += entry.size
        self._shrink()
        return True

    def grew(self, key: Hashable, entry: Entry, amount: int) -> None:
        """Accounts for a variant added to an entry, if it is still kept."""
        if self._entries.get(key) is entry:
            entry.size += amount
            self.bytes += amount
            self._shrink()

    def apply(self, changes: Sequence[Change]) -> None:
        """Touches the tags of committed changes, which become visible together: they are one step of the counter.

        A record that was created has been in no answer that names it, so only lists are touched by that. Records that
        are made by the thousand and never asked for would push out what is remembered of all others.
        """
        self.counter += 1
        touched = {(change.resource, change.owner) for change in changes if change.kind == "created"}
        for resource, owner in touched:
            self._touch(resource)
            if owner is not None:
                self._touch(owner_tag(resource, owner))
        for change in changes:
            if change.kind != "created":
                for tag in tags_of(change.resource, change.record_id, change.owner):
                    self._touch(tag)
        while len(self._generations) > self._max_tags:
            _, forgotten = self._generations.popitem(last=False)
            self._floor = max(self._floor, forgotten)

    def _touch(self, tag: str) -> None:
        self._generations[tag] = self.counter
        self._generations.move_to_end(tag)

    def clear(self) -> None:
        """Forgets everything, also loads that are under way."""
        self.counter += 1
        self._floor = self.counter
        self._entries.clear()
        self._generations.clear()
        self.bytes = 0

    def figures(self) -> dict[str, Any]:
        return {"bytes": self.bytes, "entries": len(self._entries), "tags": len(self._generations)}

    def _drop(self, key: Hashable, entry: Entry) -> None:
        del self._entries[key]
        self.bytes -= entry.size

    def _shrink(self) -> None:
        while self.bytes > self.capacity:
            _, entry = self._entries.popitem(last=False)
            self.bytes -= entry.size


def _weigh(key: Hashable) -> int:
    """The bytes that a key takes."""
    inner = sum(map(_weigh, key)) if isinstance(key, tuple) else 0
    return inner + getsizeof(key)
