"""Reading the change log of this engine: by transactions, for the order of `seq` is not that of commits."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import starmap
from typing import Any

from ramet.changes.change import Change
from ramet.changes.follower import Poll
from ramet.changes.snapshot import Snapshot, parse_snapshot
from ramet.changes.source import Missed, Touched
from ramet.changes.span import Span, parse_mark
from ramet.data.postgres.beat import NOW, Mark
from ramet.data.postgres.connection import TIMELINE, Link, open_link
from ramet.data.postgres.failures import as_problem
from ramet.data.postgres.pool import Pool
from ramet.data.store import Rows

CHANNEL = "ramet_changes"
SILENCE = 2.0
"""Seconds after which a connection that says nothing is left, and that a new one may take to be opened, but for the
first: the follower is the first that has to know, and has to be back soon."""
MOST = 20_000
"""Rows that one poll reads; when there are more, making copies anew costs less."""
PAGE = 1_000
_COLUMNS = "c.seq, c.at, c.resource, c.record_id, c.kind, c.version, c.owner, c.record, c.xid::text::bigint"
# What a snapshot does not show is what began after it or was open when it was taken: two look-ups in an index.
_UNSEEN = "(c.xid >= ${}::text::xid8 OR c.xid = ANY (${}::text[]::xid8[]))"
# Read after the snapshot: everything that this shows was written before that place.
_RUN = (
    "extract(epoch FROM pg_postmaster_start_time())::text || '/'"
    " || (SELECT oid::text FROM pg_database WHERE datname = current_database())"
)
_HEAD = f"pg_current_snapshot()::text, {TIMELINE}, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint, {NOW}, {_RUN}"
_POLL = (
    f"SELECT {_HEAD}, {_COLUMNS}"
    f" FROM (SELECT 1) AS now LEFT JOIN ramet_changes c ON {_UNSEEN.format(1, 2)} ORDER BY c.seq LIMIT {MOST + 1}"
)
_NOW = f"SELECT {_HEAD}"
_NEXT = (
    f"SELECT {_COLUMNS} FROM ramet_changes c WHERE {_UNSEEN.format(1, 2)} AND c.seq > $3"
    " AND pg_visible_in_snapshot(c.xid, $4::text::pg_snapshot) ORDER BY c.seq LIMIT $5"
)
# The row from before an update goes with it: rows of one transaction need not stand side by side.
_MISSED = (
    f"SELECT {_COLUMNS}, b.seq, b.version, b.owner, b.record FROM ramet_changes c LEFT JOIN ramet_changes b"
    " ON c.kind = 'updated' AND b.xid = c.xid AND b.kind = 'before' AND b.resource = c.resource"
    " AND b.record_id = c.record_id AND b.version = c.version - 1"
    f" WHERE {_UNSEEN.format(1, 2)} AND c.seq > $3 AND c.kind <> 'before'"
    " AND pg_visible_in_snapshot(c.xid, $4::text::pg_snapshot) ORDER BY c.seq LIMIT $5"
)
_COPIED = (
    f"SELECT {_COLUMNS} FROM ramet_changes c WHERE {_UNSEEN.format(1, 2)} AND c.resource = ANY ($3::text[])"
    f" ORDER BY c.seq DESC LIMIT {MOST}"
)
_RECENT = (
    f"SELECT {_COLUMNS} FROM ramet_changes c WHERE c.at >= $1 AND c.resource = ANY ($2::text[]) AND c.seq > $3"
    f" ORDER BY c.seq LIMIT {PAGE}"
)
_TOUCHED = (
    "SELECT resource, record_id, owner, xid::text::bigint FROM ramet_changes ORDER BY ramet_changes.xid DESC LIMIT $1"
)
_NOTHING = Snapshot(1, 1, frozenset())
SKEW = 300.0
"""Seconds by which clocks may differ, and transactions may last, for marks to be known as older than what is kept."""


class PostgresChanges:
    """Polls on a connection of its own, so that no queue for the others delays it. `retention` is in seconds.

    `incarnation` is to be set before marks are read. `mark` is told what each look found of the primary. `copy` asks a
    replica within the bound; None stands for none.
    """

    def __init__(
        self,
        url: str,
        pool: Pool,
        now: Callable[[], int],
        mark: Callable[[Mark], None],
        copy: Callable[[str, tuple[Any, ...]], Awaitable[Rows | None]],
        *,
        timeout: float,
        limit: float,
        retention: float,
    ) -> None:
        self._url = url
        self._pool = pool
        self._now = now
        self._mark = mark
        self._copy = copy
        self._timeout = timeout
        self._limit = limit
        self._retention = retention
        self._link: Link | None = None
        self._wake: Callable[[], None] | None = None
        self._looked = self._before = now()
        self.incarnation = ""

    async def poll(self, seen: Snapshot | None) -> Poll:
        """As in `ramet.changes.follower`. Raises Problem."""
        try:
            return await self._poll(await self._connected(), seen)
        except BaseException as error:
            self._leave()
            problem = as_problem(error) if isinstance(error, Exception) else error
            if problem is error:
                raise
            raise problem from error

    async def _poll(self, driver: Any, seen: Snapshot | None) -> Poll:
        now, began = self._now(), time.monotonic()
        if seen is None:
            rows = await driver.fetch(_NOW)
        else:
            rows = await driver.fetch(_POLL, *_beyond(seen))
        self._timeout = min(self._timeout, SILENCE)
        self._before, self._looked = (now if seen is None else self._looked), now
        snapshot, timeline, place, clock, run = rows[0][:5]
        self._mark(Mark(began, timeline, place, clock))
        new = [] if seen is None else [Change(*row[5:]) for row in rows if row[5] is not None]
        return Poll(parse_snapshot(snapshot), timeline, new if len(new) <= MOST else None, now, run)

    async def recent(self, at: int, resources: Sequence[str]) -> AsyncIterator[Change]:
        """As in `ramet.changes.follower`."""
        seq = 0
        while True:
            rows = await self._pool.read(_RECENT, (at, list(resources), seq))
            for change in starmap(Change, rows):
                yield change
                seq = change.seq
            if len(rows) < PAGE:
                return

    async def copied(self, seen: Snapshot, least: int, resources: Sequence[str]) -> Sequence[Change]:
        """As in `ramet.changes.follower`."""
        high, still_open = _beyond(seen)
        rows = await self._copy(_COPIED, (str(max(int(high), least)), still_open, list(resources)))
        return [Change(*row) for row in reversed(rows or [])]

    async def touched(self, limit: int) -> list[Touched]:
        """As in `ramet.changes.follower`."""
        return list(starmap(Touched, await self._pool.read(_TOUCHED, (limit,))))

    async def page(self, bookmark: str, limit: int) -> tuple[list[Change], str]:
        """As in `ramet.changes.source`.

        A bookmark is a snapshot whose rows have all been read; in the middle of those up to a later one, also that
        one and the number of the last row.
        """
        old, new, seq = (*bookmark.split(" "), "", "")[:3] if bookmark else (str(_NOTHING), "", "")
        if not new:
            new = str((await self._pool.read(_NOW, ()))[0][0])
        rows = await self._pool.read(_NEXT, (*_beyond(parse_snapshot(old)), int(seq or 0), new, limit))
        changes = list(starmap(Change, rows))
        if seq and not changes:
            return await self.page(new, limit)  # that was all up to there: what came since is next
        return changes, new if len(changes) < limit else f"{old} {new} {changes[-1].seq}"

    async def replay(self, mark: str, limit: int) -> Missed | None:
        """As in `ramet.changes.source`."""
        given, now = parse_mark(mark), self._now()
        if given is None or given.incarnation != self.incarnation or self._is_old(given.at, now):
            return None
        snapshot, timeline = (await self._pool.read(_NOW, ()))[0][:2]
        head = parse_snapshot(snapshot)
        if given.timeline != timeline or max(given.old.high, given.new.high if given.new else 0) > head.high:
            return None
        span = Span(given.incarnation, timeline, given.at, given.old, given.new or head)
        rows = await self._pool.read(_MISSED, (*_beyond(span.old), given.seq, str(span.new), limit))
        changes = [change for row in rows for change in _with_before(row)]

        def holds(seq: int, xid: int) -> bool:
            return span.new.shows(xid)

        if len(rows) == limit:
            return Missed(changes, span, span.mark(changes[-1].seq), holds, more=True)
        if given.new is not None:
            return Missed(changes, span, span.end, holds, more=True)
        return Missed(changes, span, Span(given.incarnation, timeline, now, head, head).end, holds, more=False)

    def _is_old(self, at: int, now: int) -> bool:
        """Whether rows written after a time may have been trimmed."""
        return now - at > (self._retention - min(SKEW, self._retention / 2)) * 1e6

    async def hint(self) -> None:
        """After the commit and outside its transaction, where notifying would take a lock of the whole server."""
        await (await self._connected()).execute(f"NOTIFY {CHANNEL}")

    def listen(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def expired(self) -> bool:
        """Whether the last look was so long after the one before that rows may have been trimmed in between."""
        return self._looked - self._before > self._retention * 500_000

    async def close(self) -> None:
        if self._link is not None:
            with suppress(Exception):
                await self._link.driver.close(timeout=1.0)

    async def _connected(self) -> Any:
        link = self._link
        if link is None or link.driver.is_closed():
            pooled = self._pool.pooled
            link = await open_link(self._url, timeout=self._timeout, limit=self._limit, silence=SILENCE, pooled=pooled)
            self._link = link
            if self._wake is not None and not link.pooled:
                await link.driver.add_listener(CHANNEL, self._told)
        return link.driver

    def _leave(self) -> None:
        """What became of its last statement is not known: the next one has a connection of its own."""
        if self._link is not None:
            self._link.driver.terminate()
            self._link = None

    def _told(self, driver: Any, pid: int, channel: str, payload: object) -> None:
        if self._wake is not None and pid != driver.get_server_pid():
            self._wake()


def _with_before(row: Sequence[Any]) -> list[Change]:
    """A row of `_MISSED` as one or two changes."""
    change = Change(*row[:9])
    seq, version, owner, record = row[9:]
    if seq is None:
        return [change]
    place = (change.at, change.resource, change.record_id)
    return [Change(seq, *place, "before", version, owner, record, change.xid), change]


def _beyond(seen: Snapshot) -> tuple[str, list[str]]:
    """The parameters of `_UNSEEN`."""
    return str(seen.high), [str(xid) for xid in seen.open]
