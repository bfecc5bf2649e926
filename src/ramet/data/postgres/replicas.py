"""Reading from replicas: which of them have replayed enough, and reads that say themselves whether theirs had.

A place in the write-ahead log that a replica reports was replayed before the report, so every read that begins later
sees all that was committed up to it. That is how a replica is known to hold what this process's copies hold. To one
that cannot reach the primary, the beat that the replica shows tells how fresh it is.

What a caller has seen is a transaction. Its row in the change log is there for a read exactly when all of it is; that
is looked for in the same statement. A replica's own snapshot would not tell: `pg_current_snapshot()` leaves out, on a
replica, the transactions that were open when it was taken, and so shows some as ended that are not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ramet.data.postgres.beat import BEAT, SHOWN, Mark
from ramet.data.postgres.connection import Link, open_link
from ramet.data.postgres.hosts import refused, verdict
from ramet.data.postgres.pool import Pool
from ramet.data.reads import MAX_SHAPES
from ramet.data.store import Rows
from ramet.errors import Problem
from ramet.observe import Lifecycle, Observer

PATIENCE = 1.0
"""Seconds after which a replica that does not say how far it is counts as gone."""
BEATS = 4
"""How often the beat is written within the bound of staleness."""


def guarded(sql: str, count: int) -> str:
    """A read of `count` parameters with one more: the transaction that must be in it.

    Its rows begin with whether it is, and whether there is a row at all: one that is not stands for none.
    """
    return (
        f"SELECT g.reached, q.* FROM (SELECT EXISTS (SELECT 1 FROM ramet_changes WHERE xid = ${count + 1}::text::xid8)"
        f" AS reached) g LEFT JOIN (SELECT true AS here, o.* FROM ({sql}) o) q ON true"
    )


class Replica:
    """One of them. `place` is what it has replayed; `confirmed` when, on a monotonic clock, it held what there was.

    `follows` is whether it is a replica, or gone; None when it does not answer. `leads`: it is the primary, among
    others that may take over from it. It is watched over a connection of its own (`link`): one that waits for others in
    the pool would tell of the pool.
    """

    def __init__(self, name: str, url: str, pool: Pool) -> None:
        self.name = name
        self.url = url
        self.pool = pool
        self.link: Link | None = None
        self.follows: bool | None = None
        self.leads = False
        self.place = -1
        self.confirmed = float("-inf")
        self.used = True

    async def connected(self) -> Any:
        """The driver of its own connection."""
        if self.link is None or self.link.driver.is_closed():
            pooled = self.pool.pooled
            self.link = await open_link(self.url, timeout=PATIENCE, limit=PATIENCE, silence=PATIENCE, pooled=pooled)
        return self.link.driver

    def leave(self) -> None:
        """Ends its own connection."""
        if self.link is not None:
            self.link.driver.terminate()
            self.link = None


class Replicas:
    """Chooses among replicas that lag no more than `staleness` seconds.

    `primary` takes the beat. `as_of` tells from when on nothing can have been committed: the present, or an outage.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        primary: Pool,
        observer: Observer,
        staleness: float,
        as_of: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = replicas
        self._primary = primary
        self._as_of = as_of
        self._observer = observer
        self._staleness = staleness
        self._clock = clock
        self._marks: deque[Mark] = deque(maxlen=1_024)
        self._wrote = float("-inf")
        self._turn = 0
        self._guarded: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def mark(self, mark: Mark) -> None:
        """What a look at the primary found: what copies hold is up to there."""
        if self._marks and self._marks[-1].timeline != mark.timeline:
            # Places of one history say nothing in another.
            self._marks.clear()
            for replica in self.all:
                replica.place, replica.confirmed = -1, float("-inf")
        self._marks.append(mark)

    def wrote(self) -> None:
        """This process has committed: its copies hold more than is marked."""
        self._wrote = self._clock()

    def start(self, interval: float) -> None:
        """Asks each replica every `interval` seconds how far it is."""
        self._tasks = [asyncio.create_task(self._watch(it, interval), name=f"watch {it.name}") for it in self.all]
        if self.all:
            self._tasks.append(asyncio.create_task(self._beat(), name="beat"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for replica in self.all:
            replica.leave()
            await replica.pool.close()

    def choose(self, *, keeps: bool) -> Replica | None:
        """One that lags little enough, in turn; with `keeps` one that holds all that this process's copies hold."""
        if not self.all:
            return None
        oldest = self._as_of() - self._staleness
        least = -1
        if keeps:
            if not self._marks or self._marks[-1].began <= self._wrote:
                return None
            least = self._marks[-1].place
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
                return await replica.pool.read(sql, arguments, again=False)
            text = self._guarded.get(sql)
            if text is None:
                if len(self._guarded) >= MAX_SHAPES:
                    self._guarded.clear()
                text = self._guarded[sql] = guarded(sql, len(arguments))
            rows = await replica.pool.read(text, (*arguments, str(xid)), again=False)
        except Problem as problem:
            if problem.kind.code not in ("unavailable", "overloaded"):
                raise
            replica.confirmed = float("-inf")
            return None
        if not rows[0][0]:
            return None
        return [row[2:] for row in rows] if rows[0][1] else []

    async def ask(self, sql: str, arguments: tuple[Any, ...]) -> Rows | None:
        """The rows from one within the bound; None when there is none."""
        replica = self.choose(keeps=False)
        return None if replica is None else await self.read(replica, sql, arguments, None)

    def lag(self, replica: Replica) -> float:
        """Seconds since it held all there was."""
        return self.lag_of(replica.confirmed)

    def lag_of(self, moment: float) -> float:
        """Seconds since a moment, as far as the bound of staleness goes."""
        return self._as_of() - moment

    def follow(self) -> bool | None:
        """Whether all of them are still replicas, or gone; None when one does not answer."""
        return verdict(replica.follows for replica in self.all)

    def trouble(self, replica: Replica) -> str:
        """Why it is not used; empty when it is."""
        lag = self.lag(replica)
        if lag <= self._staleness or replica.leads:
            return ""
        if lag == float("inf"):
            return "It does not answer, or is no replica any more. Look at it; reads go to the primary."
        return f"It lags {lag:.1f} s. Look at its disk and its load; reads go to the primary."

    async def _watch(self, replica: Replica, interval: float) -> None:
        while True:
            await self._look(replica)
            usable = self.lag(replica) <= self._staleness
            if usable != replica.used:
                replica.used = usable
                what = "is used for reads again" if usable else "lags too far, or is gone: it is left out"
                self._observer.emit(Lifecycle("replica", f"{replica.name} {what}"))
            await asyncio.sleep(interval)

    async def _look(self, replica: Replica) -> None:
        """Asks a replica how far it is."""
        try:
            async with asyncio.timeout(PATIENCE):
                rows = await (await replica.connected()).fetch(SHOWN)
        except Exception as error:
            replica.leave()
            replica.follows = True if refused(error) else None
            replica.leads = False
            replica.place = -1
            # Who waits for it now need not wait any longer.
            replica.pool.drop()
            return
        replica.follows, place, beat = rows[0]
        replica.place = -1
        moment = self._marks[-1].moment(beat, self._clock()) if beat is not None and self._marks else float("-inf")
        replica.leads = not replica.follows and self.lag_of(moment) <= self._staleness
        # One that was promoted is a replica no more: it goes its own way.
        if not replica.follows or place is None or moment == float("-inf"):
            return
        replica.place = place
        held = [mark.began for mark in self._marks if mark.place <= place]
        replica.confirmed = max(replica.confirmed, moment, *held)

    async def _beat(self) -> None:
        """Keeps the beat of the primary going, as every instance does."""
        pause = self._staleness / BEATS
        while True:
            with suppress(Exception):  # without it replicas are left out, which is told
                async with asyncio.timeout(PATIENCE):
                    await self._primary.read(BEAT, (round(pause * 500_000),))
            await asyncio.sleep(pause)
