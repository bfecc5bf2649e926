"""The database of many instances: one primary, its replicas, and a pool of connections to each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg
import msgspec

from ramet.changes.change import Change, Position, parse_position
from ramet.changes.follower import Follower
from ramet.data.fingerprint import AWAITED, FINGERPRINT, HALF_MOVED, MOVE, fingerprint
from ramet.data.postgres.beat import Mark
from ramet.data.postgres.connection import Link, address
from ramet.data.postgres.ddl import schema_statements
from ramet.data.postgres.leadership import Leadership
from ramet.data.postgres.log import SILENCE, PostgresChanges
from ramet.data.postgres.outage import Outage
from ramet.data.postgres.pool import OPENING, Pool
from ramet.data.postgres.reader import Reader
from ramet.data.postgres.replicas import Replica, Replicas
from ramet.data.postgres.report import Report
from ramet.data.postgres.tables import COLUMNS, has_columns
from ramet.data.postgres.transaction import PostgresTransaction
from ramet.data.postgres.units import PostgresUnits
from ramet.data.postgres.writer import Writer
from ramet.data.schema import Schema
from ramet.data.statement import Statement
from ramet.data.store import Entry, Row, Rows, Settle
from ramet.declare.catalog import Catalog
from ramet.errors import Problem, Unready
from ramet.observe import Observer
from ramet.settings import Settings

T = TypeVar("T")
_FACT = "SELECT value FROM ramet_facts WHERE name = $1"
_KEEP_FACT = "INSERT INTO ramet_facts (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1"


class PostgresStore:
    """`now` gives microseconds since 1970."""

    inline = False
    one_at_a_time = False

    def __init__(
        self,
        settings: Settings,
        schema: Schema,
        catalog: Catalog,
        observer: Observer,
        now: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._schema = schema
        self._catalog = catalog
        self._observer = observer
        self._now = now
        url = address(settings.database_url)
        self._pool = self._make_pool(url, self._opened)
        self.outage = Outage(
            url,
            settings.outage_reads,
            settings.max_staleness,
            observer,
            follow=lambda: self.replicas.follow(),
            hold=lambda since, now: self.feed.hold(since, now),
        )
        self.replicas = Replicas(
            [self._make_replica(number, copy) for number, copy in enumerate(settings.replica_urls, 1)],
            self._pool,
            observer,
            settings.max_staleness,
            self.outage.as_of,
        )
        self._report = Report(observer, settings.slow_query)
        self._reader = Reader(self._pool, self.replicas, self.outage, self._report)
        self._leadership = Leadership(self._pool)
        self.units = PostgresUnits(self._pool)
        self.fetch = self._reader.fetch
        self.changes = PostgresChanges(
            url,
            self._pool,
            now,
            self._seen,
            self.replicas.ask,
            timeout=settings.database_wait,
            limit=settings.statement_timeout,
            retention=settings.changes_retention,
        )
        self._timeline = ""
        self.incarnation = ""
        self.feed: Follower
        self._writer: Writer | None = None
        self._insertions: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        try:
            await self._check_schema()
            await self._pool.warm(OPENING)
            self.incarnation = await self.fact("incarnation", lambda: secrets.token_hex(4))
            self.changes.incarnation = self.incarnation
        except BaseException as error:
            await self._pool.close()
            if not isinstance(error, Problem):
                raise
            what = type(error.__cause__).__name__
            raise Unready(
                f"The database does not answer ({what}). Look at RAMET_DATABASE_URL and at the server."
            ) from error
        settings = self._settings
        self.feed = Follower(self.changes, self.incarnation, self._observer, settings.max_staleness)
        self._writer = Writer(
            self._pool,
            self.incarnation,
            self._now,
            self._committed,
            self._report,
            queue_limit=settings.write_queue_limit,
            timeout=settings.write_timeout,
        )
        self.replicas.start(settings.follow_interval)
        self.outage.start()

    async def stop(self) -> None:
        if self._writer is not None:
            await self._writer.close()
        with suppress(Problem):  # leases end by themselves
            await self._leadership.close()
        await self.outage.stop()
        await self.replicas.stop()
        await self.changes.close()
        await self._pool.close()

    async def read(
        self, statement: Statement, values: Mapping[str, Any], after: str = "", *, keeps: bool = False
    ) -> Rows:
        xid = None
        if after:
            position = parse_position(after)
            if position is None or position.incarnation != self.incarnation:
                return await self.fetch(statement, values)
            if not keeps:
                xid = position.seq
            elif not self.feed.holds(position):
                self._reader.spare()
                return await self.fetch(statement, values)
        return await self._reader.read(statement, values, xid, keeps=keeps)

    async def copy(self, statement: Statement, values: Mapping[str, Any], after: str = "") -> Rows | None:
        position = parse_position(after) if after else None
        if after and (position is None or position.incarnation != self.incarnation):
            return None
        return await self._reader.copy(statement, values, None if position is None else position.seq)

    def fetch_now(self, statement: Statement, arguments: Row) -> Rows | None:
        return None

    async def write(self, work: Callable[[PostgresTransaction], Awaitable[T]]) -> T:
        return await self._started.run(work)

    def insert(self, statement: Statement, arguments: Row, entry: Entry, settle: Settle) -> None:
        async def insert() -> None:
            try:
                place: Position | Exception = await self._started.insert(statement, arguments, entry)
            except Exception as error:
                place = error
            except BaseException:
                settle(Problem("unavailable", "The server is stopping.", retry_after=1))
                raise
            settle(place)

        task = asyncio.ensure_future(insert())
        self._insertions.add(task)
        task.add_done_callback(self._insertions.discard)

    async def change(self, statement: Statement, values: Mapping[str, Any]) -> tuple[Row, Position] | None:
        return await self._started.change(statement, values)

    @property
    def waiting(self) -> int:
        return 0 if self._writer is None else self._writer.waiting

    def copies(self) -> Mapping[str, str]:
        return {replica.name: self.replicas.trouble(replica) for replica in self.replicas.all}

    def spared(self) -> str:
        if not self.outage.down or self.replicas.choose(keeps=False) is None:
            return ""
        return "The primary is down. Reads go on from replicas; changes are refused until it, or another, is up."

    async def ping(self) -> None:
        await self._pool.read("SELECT 1 FROM ramet_facts LIMIT 1", ())

    async def fact(self, name: str, make: Callable[[], str]) -> str:
        rows = await self._pool.read(_FACT, (name,))
        if not rows:
            await self._pool.read(_KEEP_FACT, (name, make()))
            rows = await self._pool.read(_FACT, (name,))
        return str(rows[0][0])

    async def present(self, name: str) -> int:
        return await self._leadership.present(name)

    async def lead(self, name: str) -> bool:
        return await self._leadership.take(name)

    def _committed(self, xid: int, changes: Sequence[Change]) -> None:
        self.replicas.wrote()
        self.feed.applied(xid, changes)

    def _seen(self, mark: Mark) -> None:
        self.replicas.mark(mark)
        self.outage.heard(mark.began)
        self._pool.heard()

    def _make_replica(self, number: int, url: str) -> Replica:
        url = address(url, writes=False)
        return Replica(f"replica {number}", url, self._make_pool(url, silence=SILENCE))

    def _make_pool(self, url: str, opened: Callable[[Link], None] = lambda link: None, silence: float = 0.0) -> Pool:
        settings = self._settings
        return Pool(
            url,
            size=settings.database_pool,
            wait=settings.database_wait,
            limit=settings.statement_timeout,
            opened=opened,
            silence=silence or settings.database_wait,
        )

    @property
    def _started(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("The store has not been started.")
        return self._writer

    def _opened(self, link: Link) -> None:
        """A connection to another history of the database than before: nothing known so far is to be relied on."""
        if link.timeline != self._timeline:
            if self._timeline:
                self.feed.doubt()
            self._timeline = link.timeline

    async def _check_schema(self) -> None:
        try:
            if await self._pool.read(_FACT, (MOVE,)):
                raise Unready(HALF_MOVED)
            rows = await self._pool.read(_FACT, (FINGERPRINT,))
        except asyncpg.UndefinedTableError:
            rows = []
        wanted = fingerprint(schema_statements(self._schema, self._catalog), self._catalog)
        if rows and rows[0][0] == wanted:
            return
        if not rows or not has_columns(self._schema, map(tuple, await self._pool.read(COLUMNS, ()))):
            raise Unready("The database does not have the declared schema. Run `ramet migrate apply`.")
        waiting = await self._pool.read(_FACT, (AWAITED,))
        if waiting and not self._schema.unique.isdisjoint(msgspec.json.decode(waiting[0][0])):
            raise Unready("Unique indexes are still being made. `ramet migrate apply` does it, or goes on with it.")


def open_store(
    settings: Settings,
    schema: Schema,
    catalog: Catalog,
    observer: Observer,
    now: Callable[[], int],
) -> PostgresStore:
    """The store of a database; nothing is opened before it is started."""
    return PostgresStore(settings, schema, catalog, observer, now)
