"""Following a log that many instances write at once: by transactions, polled, and bounded in its staleness.

What has been applied is a snapshot of transactions, not the highest number seen: numbers are given before commits,
and a row of a transaction that ends late would be skipped. Each poll asks for what the last snapshot did not show.
A hint of another instance makes a poll come sooner; correctness rests on the poll alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from ramet.changes.change import Change, Position
from ramet.changes.feed import Feed
from ramet.changes.snapshot import Snapshot, Stamp
from ramet.changes.source import Touched
from ramet.changes.span import Span
from ramet.observe import Lifecycle, Observer

HINT_PAUSE = 0.005
"""Seconds between two hints to other instances, and so between polls that own commits cause."""
PATIENCE = 5.0
"""Seconds after which a poll counts as failed."""
OVERLAP = 10_000
"""Transactions that may begin between the begin and the end of one that is learned of from a copy."""


class Poll(NamedTuple):
    """What a look at the log found, all as of one moment. Without `changes` (None) there were too many to read.

    `at` is when it began, in microseconds since 1970; `run` names the run of the server that numbers transactions.
    """

    snapshot: Snapshot
    timeline: str
    changes: Sequence[Change] | None
    at: int
    run: str = ""


class PolledLog(Protocol):
    """Where such a log is read."""

    async def poll(self, seen: Snapshot | None) -> Poll:
        """What is committed now and was not in `seen`, in the order of row numbers; nothing for None."""

    def recent(self, at: int, resources: Sequence[str]) -> AsyncIterator[Change]:
        """The rows of some resources from `at` (microseconds since 1970) on."""

    async def copied(self, seen: Snapshot, least: int, resources: Sequence[str]) -> Sequence[Change]:
        """The rows of some resources that were not in `seen`, as far as a copy within the bound has them.

        Where nothing else is open, only those of transactions from `least` on. Nothing without such a copy.
        """

    async def hint(self) -> None:
        """Wakes the followers of other instances."""

    def listen(self, wake: Callable[[], None]) -> None:
        """Calls `wake` whenever another instance hints; to be said before the first poll."""

    async def touched(self, limit: int) -> Sequence[Touched]:
        """What was changed last, the newest transactions first, at most `limit`."""

    def expired(self) -> bool:
        """Whether rows may have been trimmed since the last poll before they were read."""


class Hints(Protocol):
    """Another way to wake the followers of other instances, for as long as it is there."""

    @property
    def available(self) -> bool: ...
    async def hint(self) -> None: ...
    def listen(self, wake: Callable[[], None]) -> None: ...


class Follower(Feed):
    """`staleness` is how long, in seconds, copies may be used after the last look at the log began."""

    exact = False

    def __init__(
        self,
        log: PolledLog,
        incarnation: str,
        observer: Observer,
        staleness: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(incarnation)
        self._log = log
        self._observer = observer
        self._staleness = staleness
        self._clock = clock
        self._until = float("-inf")
        self._snapshot = Snapshot(0, 0, frozenset())
        self._timeline = ""
        self._run = ""
        self._at = 0
        self._ahead: set[int] = set()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._hint = False
        self._doubts = 0
        self._failing = False
        self._unread = False
        self._learned = 0
        self._hints: Hints | None = None

    def hint_by(self, hints: Hints) -> None:
        """Wakes others this way while it is there, and listens to it too."""
        self._hints = hints
        hints.listen(self._wake.set)

    async def start(self) -> None:
        self._log.listen(self._wake.set)
        began, doubts = self._clock(), self._doubts
        self._begin(await self._log.poll(None))
        await self._confirm(began, doubts)

    def sync(self) -> bool:
        """Whether this process has confirmed its place in the log within the bound of staleness."""
        return self._clock() < self._until

    def holds(self, position: Position) -> bool:
        return position.seq in self._ahead or self._snapshot.shows(position.seq)

    async def catch_up(self) -> None:
        await self.poll()

    @property
    def stamp(self) -> Stamp:
        """What copies hold of what others have committed, at least."""
        return Stamp(f"{self._timeline} {self._run}", self._snapshot)

    async def touched(self, limit: int) -> Sequence[Touched]:
        """What was changed last, by whomever, the newest transactions first, at most `limit`."""
        return await self._log.touched(limit)

    @property
    def mark(self) -> str:
        return Span(self.incarnation, self._timeline, self._at, self._snapshot, self._snapshot).end

    def applied(self, xid: int, changes: Sequence[Change]) -> None:
        """Takes what this process has just committed, without waiting to read it."""
        if xid not in self._ahead:
            if not self._snapshot.shows(xid) or not self.sync():
                self.deliver(changes, confirmed=False)
            self._ahead.add(xid)
        self._hint = True
        self._wake.set()

    def doubt(self) -> None:
        """Uses no copies until the next look at the log: the database may not be the one it was."""
        self._doubts += 1
        self._until = float("-inf")
        self._wake.set()

    def hold(self, since: float, now: float) -> None:
        """Nothing can have been committed from `since` to `now`: copies that were good then still are."""
        if self._until > since:
            self._until = max(self._until, now + self._staleness)

    async def poll(self) -> None:
        """Looks once. What it raises leaves copies as they were, or out of use until a look succeeds."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        began, doubts = self._clock(), self._doubts
        async with asyncio.timeout(PATIENCE):
            found = await self._log.poll(self._snapshot)
        if found.timeline != self._timeline or found.changes is None or self._log.expired():
            self._begin(found)
        else:
            new = [change for change in found.changes if change.xid not in self._ahead]
            if new:
                self.deliver(new, confirmed=False)
            if found.changes:
                self.place = Span(self.incarnation, self._timeline, self._at, self._snapshot, found.snapshot)
                self.deliver(found.changes, confirmed=True)
            self._take(found)
        await self._confirm(began, doubts)

    async def keep_up(self, interval: float) -> None:
        while True:
            try:
                async with asyncio.timeout(interval):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                if self._hint:
                    self._hint = False
                    await self._tell()
                    await self.poll()
                    await asyncio.sleep(HINT_PAUSE)
                else:
                    await self.poll()
                self._failing = False
            except Exception as error:
                if not self._failing:
                    self._failing = True
                    self._observer.emit(Lifecycle("change log", f"cannot be followed: {error.__cause__ or error!r}"))
                if not self.sync():
                    with suppress(Exception):  # there may be no copy either, which is told elsewhere
                        await self._learn()
                await asyncio.sleep(interval)

    async def _learn(self) -> None:
        """While the log cannot be read, what must be known soon is learned from a copy: who may not come in any more.

        The order of transactions is not that of a copy, so that the newest are asked for again.
        """
        for applies, _, recent, _ in self.subscribers:
            if recent is not None:
                async with asyncio.timeout(PATIENCE):
                    changes = await self._log.copied(self._snapshot, self._learned - OVERLAP, recent.resources)
                applies(changes)
                self._learned = max((change.xid for change in changes), default=self._learned)

    async def _tell(self) -> None:
        """Hints, by the database where there is no better way."""
        if self._hints is not None and self._hints.available:
            await self._hints.hint()
            return
        async with self._turn:
            await self._log.hint()

    def _begin(self, found: Poll) -> None:
        """Every copy is made anew as of `found`: at the start, after a fail-over, and when rows were missed."""
        self._until, self._unread = float("-inf"), True
        for subscriber in self.subscribers:
            subscriber.reset()
        self._ahead.clear()
        self._take(found)
        self._timeline = found.timeline

    async def _confirm(self, began: float, doubts: int) -> None:
        """Copies may be used from a look that began then, unless it was doubted since.

        What a beginning still has to read is read first: it is due until that has succeeded.
        """
        if self._unread:
            for applies, _, recent, _ in self.subscribers:
                if recent is not None:
                    async for change in self._log.recent(recent.since(), recent.resources):
                        applies((change,))
            self._unread = False
        if doubts == self._doubts:
            self._until = began + self._staleness

    def _take(self, found: Poll) -> None:
        snapshot = self._snapshot = found.snapshot
        self._at = found.at
        self._run = found.run
        self._ahead = {xid for xid in self._ahead if not snapshot.shows(xid)}
        self.seq = snapshot.low
