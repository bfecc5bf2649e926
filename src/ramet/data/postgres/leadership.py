"""One instance among several does the chores: whoever holds a lease in the table of facts.

A lease ends by the database's clock when it is not renewed. Locks of a session would not: a pooler gives a session's
connections to others.
"""

from __future__ import annotations

import secrets
import time

from ramet.data.postgres.pool import Pool

PRESENT = 6.0
"""Seconds for which a sign of life counts."""
LEASE = 10.0
"""Seconds that a lease holds. Whoever has it renews it after half of them."""
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_TAKE = f"""\
INSERT INTO ramet_facts AS held (name, value) VALUES ('lease ' || $1::text, $2::text || ' ' || ({_NOW} + $3::bigint))
ON CONFLICT (name) DO UPDATE SET value = excluded.value
WHERE split_part(held.value, ' ', 1) = $2::text OR split_part(held.value, ' ', 2)::bigint < {_NOW}
RETURNING 1"""
_PRESENT = f"""\
WITH gone AS (DELETE FROM ramet_facts WHERE name LIKE 'instance %' AND value::bigint < {_NOW} - 60000),
here AS (INSERT INTO ramet_facts (name, value) VALUES ('instance ' || $1::text, {_NOW})
ON CONFLICT (name) DO UPDATE SET value = excluded.value)
SELECT count(*) FROM ramet_facts
WHERE name LIKE 'instance %' AND name <> 'instance ' || $1::text AND value::bigint > {_NOW} - $2::bigint"""
_FREE = "DELETE FROM ramet_facts WHERE name LIKE 'lease %' AND split_part(value, ' ', 1) = $1::text RETURNING 1"


class Leadership:
    """The leases of one instance. It may find out late that it has lost one: what a leader does must bear a second."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._holder = secrets.token_hex(8)
        self._held: dict[str, float] = {}

    async def take(self, name: str) -> bool:
        """Whether this instance leads in `name`; tries to become the leader if nobody is."""
        now = time.monotonic()
        if self._held.get(name, 0.0) > now + LEASE / 2:
            return True
        self._held.setdefault(name, 0.0)  # who is stopped while it asks may have got it
        if await self._pool.read(_TAKE, (name, self._holder, int(LEASE * 1000))):
            self._held[name] = now + LEASE
            return True
        self._held.pop(name, None)
        return False

    async def present(self, name: str) -> int:
        """Notes that the instance `name` lives; the number of those that were noted lately, itself among them."""
        rows = await self._pool.read(_PRESENT, (name, int(PRESENT * 1000)))
        return int(rows[0][0]) + 1

    async def close(self) -> None:
        """Gives up what it holds."""
        if self._held:
            self._held.clear()
            await self._pool.read(_FREE, (self._holder,))
