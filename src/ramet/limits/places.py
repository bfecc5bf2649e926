"""Where instances share counters: in Redis, or in their database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ramet.errors import Problem

CELLS = 60
"""Cells of a window of the shared counter; a caller that takes what is free gets 60/61 of the limit."""

TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local quota, length, cells = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local least, want = tonumber(ARGV[4]), tonumber(ARGV[5])
local owed = tonumber(ARGV[6])
local cell = math.floor(now / length)
local found = redis.call('HGETALL', KEYS[1])
local used, counts, kept = 0, {}, {}
for i = 1, #found, 2 do
    local at, units = tonumber(found[i]), tonumber(found[i + 1])
    if at < cell - cells then
        redis.call('HDEL', KEYS[1], found[i])
    elseif units > 0 then
        used = used + units
        counts[at] = units
        kept[#kept + 1] = at
    end
end
if #found == 0 then
    owed = tonumber(ARGV[7])
end
if owed > 0 then
    redis.call('HINCRBY', KEYS[1], cell, owed)
    used = used + owed
    if not counts[cell] then
        kept[#kept + 1] = cell
    end
    counts[cell] = (counts[cell] or 0) + owed
end
table.sort(kept)
local free = quota - used
local left = (cell + 1) * length - now
local granted, reset = 0, left
if free >= least then
    granted = math.max(least, math.min(want, math.floor(free / 4)))
    if granted > 0 then
        redis.call('HINCRBY', KEYS[1], cell, granted)
    end
    if #kept > 0 then
        reset = (kept[1] + cells + 1) * length - now
    end
else
    local missing = least - free
    for _, at in ipairs(kept) do
        missing = missing - counts[at]
        reset = (at + cells + 1) * length - now
        if missing <= 0 then
            break
        end
    end
end
redis.call('PEXPIRE', KEYS[1], math.ceil((cells + 2) * length / 1000))
return {granted, math.max(0, free - granted), left, reset, cell}
"""
"""Keys: the counter. Arguments: quota, microseconds of a cell, cells, units at least and at most, units used that it
was not told of, and all that were used by whoever asks, which count when nothing is known there.

Gives the units granted and those free after that, the microseconds until the cell ends and until more may be free, and
the cell's number.
"""

GIVE = """
local units = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local given = math.min(units, tonumber(ARGV[2]))
if given > 0 then
    redis.call('HINCRBY', KEYS[1], ARGV[1], -given)
end
return given
"""
"""Keys: the counter. Arguments: the cell of a lease, and the units of it that were not used."""


class Scripts(Protocol):
    """Where the shared counters are. `run` raises `failure`, within a bounded time."""

    @property
    def failure(self) -> type[Exception]: ...
    @property
    def available(self) -> bool: ...
    async def run(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any: ...


class Place(Protocol):
    """Where a shared counter is. Its methods raise `failure`, within a bounded time, when it does not answer."""

    @property
    def failure(self) -> type[Exception]: ...
    @property
    def available(self) -> bool: ...

    async def take(
        self, name: str, quota: int, length: int, cost: int, want: int, owed: int, used: int
    ) -> tuple[int, int, int, int, int]:
        """Counts `owed` units, then up to `want` that are free, or none where there are less than `cost`.

        `used` counts instead of `owed` where nothing is known. Gives what `TAKE` does.
        """
        ...

    async def give(self, name: str, cell: int, units: int) -> None:
        """Takes back units that were counted in a cell and not used."""
        ...


class Scripted:
    """Counters in Redis."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self.failure = scripts.failure

    @property
    def available(self) -> bool:
        return self._scripts.available

    async def take(
        self, name: str, quota: int, length: int, cost: int, want: int, owed: int, used: int
    ) -> tuple[int, int, int, int, int]:
        """See `Place.take`."""
        given = (quota, length, CELLS, cost, want, owed, used)
        granted, free, left, reset, cell = await self._scripts.run(TAKE, [_key(name)], given)
        return granted, free, left, reset, cell

    async def give(self, name: str, cell: int, units: int) -> None:
        """See `Place.give`."""
        await self._scripts.run(GIVE, [_key(name)], (cell, units))


class Units(Protocol):
    """Counters in a database; see `ramet.data.store.Units`."""

    async def take(
        self, name: str, quota: int, length: int, cells: int, cost: int, owed: int, used: int
    ) -> tuple[int, int, int, int, int]: ...
    async def give(self, name: str, cell: int, count: int) -> None: ...


class Listed:
    """Counters in a database, which grants what is asked for and no more."""

    failure = Problem
    available = True

    def __init__(self, units: Units) -> None:
        self._units = units

    async def take(
        self, name: str, quota: int, length: int, cost: int, want: int, owed: int, used: int
    ) -> tuple[int, int, int, int, int]:
        """See `Place.take`."""
        return await self._units.take(name, quota, length, CELLS, cost, owed, used)

    async def give(self, name: str, cell: int, units: int) -> None:
        """See `Place.give`."""
        await self._units.give(name, cell, units)


def _key(name: str) -> bytes:
    return f"ramet:limit:{name}".encode()
