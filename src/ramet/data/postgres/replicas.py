"""Reading from replicas: which of them have replayed enough, and reads that say themselves whether theirs had.

A place in the write-ahead log that a replica reports was replayed before the report, so every read that begins later
sees all that was committed up to it. That is how a replica is known to hold what this process's copies hold.

What a caller has seen is a transaction. Its row in the change log is there for a read exactly when all of it is; that
is looked for in the same statement. A replica's own snapshot would not tell: `pg_current_snapshot()` leaves out, on a
replica, the transactions that were open when it was taken, and so shows some as ended that are not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ramet.data.postgres.pool import Pool
from ramet.data.reads import MAX_SHAPES
from ramet.data.store import Rows
from ramet.errors import Problem
from ramet.observe import Lifecycle, Observer

REPLAYED = "SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint WHERE pg_is_in_recovery()"
PATIENCE = 1.0
"""Seconds after which a replica that does not say how far it is counts as gone."""


def guarded(sql: str, count: int) -> str:
    """A read of `count` parameters with one more: the transaction that must be in it.

    Its rows begin with whether it is, and whether there is a row at all: one that is not stands for none.
    """
    return (
        f"SELECT g.reached, q.* FROM (SELECT EXISTS (SELECT 1 FROM ramet_changes WHERE xid = ${count + 1}::text::xid8)"
        f" AS reached) g LEFT JOIN (SELECT true AS here, o.* FROM ({sql}) o) q ON true"
    )


class Replica:
    """One of them. `place` is what it has replayed; `confirmed` when, on a monotonic clock, it held what there was."""

    def __init__(self, name: str, pool: Pool) -> None:
        self.name = name
        self.pool = pool
        self.place = -1
        self.confirmed = float("-inf")
        self.used = True


class Replicas:
    """Chooses among replicas that lag no more than `staleness` seconds. `pools` are by the names to tell of them."""

    def __init__(
        self,
        pools: dict[str, Pool],
        observer: Observer,
        staleness: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = [Replica(name, pool) for name, pool in pools.items()]
        self._observer = observer
        self._staleness = staleness
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque(maxlen=1_024)
        self._wrote = float("-inf")
        self._turn = 0
        self._guarded: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def mark(self, began: float, place: int) -> None:
        """The primary had come to `place` when it was asked at `began`: what copies hold is up to there."""
        self._marks.append((began, place))

    def wrote(self) -> None:
        """This process has committed: its copies hold more than is marked."""
        self._wrote = self._clock()

    def start(self, interval: float) -> None:
        """Asks each replica every `interval` seconds how far it is."""
        self._tasks = [asyncio.create_task(self._watch(it, interval), name=f"watch {it.name}") for it in self.all]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for replica in self.all:
            await replica.pool.close()

    def choose(self, *, keeps: bool) -> Replica | None:
        """One that lags little enough, in turn; with `keeps` one that holds all that this process's copies hold."""
        if not self.all:
            return None
        oldest = self._clock() - self._staleness
        least = -1
        if keeps:
            if not self._marks or self._marks[-1][0] <= self._wrote:
                return None
            least = self._marks[-1][1]
        for _ in self.all:
            self._turn = (self._turn + 1) % len(self.all)
            replica = self.all[self._turn]
            if replica.confirmed >= oldest and replica.place >= least:
                return replica
        return None

    async def read(self, replica: Replica, sql: str, arguments: tuple[Any, ...], xid: int | None) -> Rows | None:
        """The rows, if the replica answers and, with `xid`, has replayed that transaction; else None."""
        try:
            if xid is None:
                return await replica.pool.read(sql, arguments)
            text = self._guarded.get(sql)
            if text is None:
                if len(self._guarded) >= MAX_SHAPES:
                    self._guarded.clear()
                text = self._guarded[sql] = guarded(sql, len(arguments))
            rows = await replica.pool.read(text, (*arguments, str(xid)))
        except Problem as problem:
            if problem.kind.code not in ("unavailable", "overloaded"):
                raise
            replica.confirmed = float("-inf")
            return None
        if not rows[0][0]:
            return None
        return [row[2:] for row in rows] if rows[0][1] else []

    def lag(self, replica: Replica) -> float:
        """Seconds since it held all there was."""
        return self._clock() - replica.confirmed

    def trouble(self, replica: Replica) -> str:
        """Why it is not used; empty when it is."""
        lag = self.lag(replica)
        if lag <= self._staleness:
            return ""
        if lag == float("inf"):
            return "It does not answer, or is no replica any more. Look at it; reads go to the primary."
        return f"It lags {lag:.1f} s. Look at its disk and its load; reads go to the primary."

    async def _watch(self, replica: Replica, interval: float) -> None:
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    rows = await replica.pool.read(REPLAYED, ())
                # One that was promoted is a replica no more: it may go its own way.
                replica.place = rows[0][0] if rows and rows[0][0] is not None else -1
                held = [began for began, place in self._marks if place <= replica.place]
                if held:
                    replica.confirmed = max(held)
            except Exception:
                replica.place = -1
            usable = self.lag(replica) <= self._staleness
            if usable != replica.used:
                replica.used = usable
                what = "is used for reads again" if usable else "lags too far, or is gone: it is left out"
                self._observer.emit(Lifecycle("replica", f"{replica.name} {what}"))
            await asyncio.sleep(interval)
