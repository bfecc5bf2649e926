"""Units of limits that all instances count in the database, one by one: for what is too delicate to be leased ahead.

A window is cut into cells, and a row tells how many units were used in each. One cell more than the window has counts:
a unit may be used in the cell after the one that its statement began in.
"""

from __future__ import annotations

from typing import Any

from ramet.data.postgres.pool import Pool
from ramet.data.store import Counted

CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""What time it is, in microseconds."""
_CELLS = "unnest(string_to_array(held.cells, ' ')) AS one"
_AT, _UNITS = "split_part(one, ':', 1)::bigint", "split_part(one, ':', 2)::bigint"
_ADDED = f"""\
(SELECT string_agg(at || ':' || units, ' ' ORDER BY at) FROM (
  SELECT at, sum(units) AS units FROM (
    SELECT {_AT} AS at, {_UNITS} AS units FROM {_CELLS} UNION ALL SELECT time.now / $2, $4 FROM time
  ) every WHERE at >= (SELECT now / $2 FROM time) - $3 - 1 GROUP BY at) kept)"""
_INSERT = """\
WITH time AS (SELECT (CLOCK) AS now)
INSERT INTO ramet_limits AS held (name, expires, cells)
SELECT $1::text, (now / $2::bigint + $3::bigint + 3) * $2, now / $2 || ':' || ($4::bigint + $5::bigint) FROM time"""
_TAKE = f"""\
{_INSERT} WHERE $4 + $5 <= $6::bigint
ON CONFLICT (name) DO UPDATE SET expires = excluded.expires, cells = {_ADDED}
WHERE $4 + (SELECT coalesce(sum({_UNITS}), 0) FROM {_CELLS} WHERE {_AT} >= (SELECT now / $2 FROM time) - $3 - 1) <= $6
RETURNING cells, (SELECT now FROM time)"""
_TELL = f"{_INSERT} ON CONFLICT (name) DO UPDATE SET expires = excluded.expires, cells = {_ADDED}"
_LOOK = "SELECT coalesce((SELECT cells FROM ramet_limits WHERE name = $1), ''), (CLOCK)"
_GIVE = f"""\
UPDATE ramet_limits AS held SET cells = (
  SELECT string_agg(at || ':' || units, ' ' ORDER BY at) FROM (
    SELECT {_AT} AS at, greatest(0, {_UNITS} - CASE WHEN {_AT} = $2::bigint THEN $3::bigint ELSE 0 END) AS units
    FROM {_CELLS}) left_over)
WHERE name = $1::text RETURNING 1"""
_TIDY = "DELETE FROM ramet_limits WHERE expires < (CLOCK) RETURNING 1"


class PostgresUnits:
    """The counters in the database. `clock` is the statement of what time it is. Methods raise Problem."""

    def __init__(self, pool: Pool, clock: str = CLOCK) -> None:
        self._pool = pool
        self.clock = clock

    async def take(self, name: str, quota: int, length: int, cells: int, cost: int, owed: int, used: int) -> Counted:
        """See `ramet.data.store.Units.take`."""
        if owed:
            await self._ask(_TELL, name, length, cells, owed, used - owed)
        rows = await self._ask(_TAKE, name, length, cells, cost, used, quota) if cost else []
        [[text, now]] = rows or await self._ask(_LOOK, name)
        current, window = now // length, cells + 1
        counts = [(int(at), int(units)) for at, _, units in (one.partition(":") for one in text.split())]
        kept = [(at, units) for at, units in counts if at >= current - window and units]
        free = quota - sum(units for _, units in kept)
        reset, missing = length, cost - free
        for at, units in kept:
            reset, missing = (at + window + 1) * length - now, missing - units
            if rows or missing <= 0:
                break
        if not rows and not kept:  # more was used here than is told there
            free, reset = max(0, quota - used), window * length
        return Counted(cost if rows else 0, max(0, free), (current + 2) * length - now, reset, current)

    async def give(self, name: str, cell: int, count: int) -> None:
        """See `ramet.data.store.Units.give`."""
        await self._ask(_GIVE, name, cell, count)

    async def tidy(self) -> None:
        """See `ramet.data.store.Units.tidy`."""
        await self._ask(_TIDY)

    async def _ask(self, statement: str, *arguments: object) -> Any:
        return await self._pool.read(statement.replace("CLOCK", self.clock), arguments)
