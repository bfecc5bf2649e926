"""The embedded database: one file, one writer, readers beside it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ramet.changes.change import Change
from ramet.changes.ordered import OrderedFeed
from ramet.data.schema import Schema
from ramet.data.sqlite.bootstrap import ensure_schema
from ramet.data.sqlite.committer import Committer
from ramet.data.sqlite.connection import DAMAGED, database_path, open_connection, unusable
from ramet.data.sqlite.leadership import Leadership, attend, in_turn
from ramet.data.sqlite.log import SqliteChanges
from ramet.data.sqlite.reader import Reader
from ramet.data.sqlite.report import Report
from ramet.data.sqlite.transaction import SqliteTransaction
from ramet.data.sqlite.writer import Insertion, Writer
from ramet.data.statement import Statement
from ramet.data.store import Entry, Row, Rows, Settle
from ramet.declare.catalog import Catalog
from ramet.errors import Unready
from ramet.observe import Observer
from ramet.settings import Settings

T = TypeVar("T")
_FACT = Statement("SELECT value FROM ramet_facts WHERE name = ?", ("name",), {})
_KEEP_FACT = Statement("INSERT INTO ramet_facts (name, value) VALUES (?, ?)", ("name", "value"), {})


class SqliteStore:
    """Opens the file at `path`, whose schema is up to date. `now` gives microseconds since 1970.

    `committed` is called after commits, in place of its feed.
    """

    inline = True
    one_at_a_time = True
    change = None

    def __init__(
        self,
        path: Path,
        settings: Settings,
        observer: Observer,
        now: Callable[[], int],
        committed: Callable[[Sequence[Change]], None] | None = None,
    ) -> None:
        self._path = path
        self._attends = attend(path)
        connection = open_connection(path, writes=True)
        connection.set_busy_timeout(5_000)
        try:
            self.incarnation = _incarnation(connection)
        except DAMAGED as error:
            raise unusable(path, error) from error
        connection.set_busy_timeout(0)
        report = Report(observer, settings.slow_query)
        self.reader = Reader(path, settings.read_steps, report)
        self.changes = SqliteChanges(self.reader, path, self.incarnation)
        self.feed = OrderedFeed(self.changes, self.incarnation)
        self.writer = Writer(
            connection,
            Committer(connection, path, self.changes.pages),
            self.incarnation,
            now,
            committed or self.feed.committed,
            observer,
            report,
            queue_limit=settings.write_queue_limit,
            timeout=settings.write_timeout,
        )
        self._leadership = Leadership(path)

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        return await self.reader.fetch(statement, values)

    async def read(
        self, statement: Statement, values: Mapping[str, Any], after: str = "", *, keeps: bool = False
    ) -> Rows:
        return await self.reader.fetch(statement, values)

    async def copy(self, statement: Statement, values: Mapping[str, Any], after: str = "") -> Rows | None:
        return None

    def fetch_now(self, statement: Statement, arguments: Row) -> Rows | None:
        return self.reader.fetch_inline(statement, arguments)

    async def write(self, work: Callable[[SqliteTransaction], Awaitable[T]]) -> T:
        return await self.writer.run(work)

    def insert(self, statement: Statement, arguments: Row, entry: Entry, settle: Settle) -> None:
        self.writer.insert(Insertion(statement.sql, arguments, entry, settle))

    @property
    def waiting(self) -> int:
        return self.writer.waiting

    def copies(self) -> Mapping[str, str]:
        return {}

    def spared(self) -> str:
        return ""

    async def ping(self) -> None:
        self.reader.fetch_now("SELECT count(*) FROM ramet_facts")

    async def fact(self, name: str, make: Callable[[], str]) -> str:
        if kept := await self.reader.fetch(_FACT, {"name": name}):
            return str(kept[0][0])

        async def work(tx: SqliteTransaction) -> str:
            if not (rows := await tx.fetch(_FACT, {"name": name})):
                await tx.run(_KEEP_FACT, (name, make()))
                rows = await tx.fetch(_FACT, {"name": name})
            return str(rows[0][0])

        return await self.write(work)

    @property
    def units(self) -> None:
        """Processes of one machine count in its memory."""

    async def present(self, name: str) -> int:
        return 1

    async def lead(self, name: str) -> bool:
        return self._leadership.take(name)

    async def start(self) -> None:
        """Nothing to do: opening the file was all."""

    async def stop(self) -> None:
        await self.writer.close()
        self.reader.finish()
        async with in_turn(self._path):
            self.reader.close()
        self.changes.close()
        self._leadership.close()
        os.close(self._attends)


def open_store(
    settings: Settings,
    schema: Schema,
    catalog: Catalog,
    observer: Observer,
    now: Callable[[], int],
) -> SqliteStore:
    """The store of a file. Raises SettingsError when it cannot be opened, Unready when it has another schema."""
    if not ensure_schema(settings.database_url, schema, catalog):
        raise Unready("The database does not have the declared schema. Run `ramet migrate plan`, then apply.")
    return SqliteStore(database_path(settings.database_url), settings, observer, now)


def _incarnation(connection: Any) -> str:
    """The name of this database's log, made once: positions of another database mean nothing here."""
    kept = "SELECT value FROM ramet_facts WHERE name = 'incarnation'"
    row = connection.execute(kept).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO ramet_facts (name, value) VALUES ('incarnation', ?) ON CONFLICT DO NOTHING",
            (secrets.token_hex(4),),
        )
        row = connection.execute(kept).fetchone()
    return str(row[0])
