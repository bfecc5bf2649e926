"""When the primary is down: until when anything can have been committed.

Freshness is a promise about what was committed. While every host of the database refuses connections, is starting, or
is a replica, nothing can be: what was fresh when that began stays so. A primary that only does not answer may well
serve others, and nothing of this holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ramet.data.postgres.hosts import commits_nowhere, verdict
from ramet.observe import Lifecycle, Observer

QUIET = 0.3
"""Seconds without a word from the primary after which it is asked whether it is down."""
INTERVAL = 0.25
PATIENCE = 1.0
"""Seconds within which a host has to show that nothing can be committed on it."""
GAP = 5.0
"""Seconds without such a proof after which the primary may have been back in between."""


class Outage:
    """`limit` and `staleness` are in seconds; `hold` is told from when to when nothing can have been committed.

    `follow` says whether all replicas are still that, or gone; None when one does not answer.
    """

    def __init__(
        self,
        url: str,
        limit: float,
        staleness: float,
        observer: Observer,
        follow: Callable[[], bool | None],
        hold: Callable[[float, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._limit = limit
        self._staleness = staleness
        self._observer = observer
        self._follow = follow
        self._hold = hold
        self._clock = clock
        self._heard = float("-inf")
        self._since = float("inf")
        self._proved = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def heard(self, began: float) -> None:
        """The primary has answered what was asked at `began`."""
        self._heard = began
        if self._since != float("inf"):
            self._end("The primary answers again.")

    @property
    def quiet(self) -> bool:
        """Whether the primary has not answered for so long that it is better not waited for."""
        return self._clock() - self._heard > self._staleness

    def as_of(self) -> float:
        """When the primary went down, since when nothing can have been committed; the present when it may be up."""
        now = self._clock()
        if now - self._proved > self._staleness or now - self._since > self._limit:
            return now
        return self._since

    @property
    def down(self) -> bool:
        """Whether the primary is known to be down."""
        return self.as_of() == self._since

    def start(self) -> None:
        if self._limit > 0:
            self._task = asyncio.create_task(self._watch(), name="watch for an outage")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self) -> None:
        """Asks whether the primary is down, if it has been quiet."""
        began = self._clock()
        if began - self._heard < QUIET:
            return
        down = verdict((await commits_nowhere(self._url, PATIENCE), self._follow()))
        if self._heard >= began or down is None:
            return
        if not down:
            self._end("There is a primary again.")
            return
        if self._since == float("inf") or began - self._proved > GAP:
            self._since = began
            self._observer.emit(Lifecycle("primary", "It is down: reads go on from what is known, changes wait."))
        self._proved = began
        if self.down:
            self._hold(self._since, began)

    def _end(self, why: str) -> None:
        if self._since != float("inf"):
            self._since, self._proved = float("inf"), float("-inf")
            self._observer.emit(Lifecycle("primary", why))

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)
