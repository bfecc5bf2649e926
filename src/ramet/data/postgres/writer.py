"""Writes: each in a transaction of its own, side by side with others, with the results of one after the other.

Works run serializable, and again when others were in their way. What is one insertion and its row of the log is one
statement, committed in the same round trip.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, TypeVar

from ramet.changes.change import Change, Position
from ramet.data.postgres.connection import Link
from ramet.data.postgres.failures import as_problem, doubled, lost, repeatable
from ramet.data.postgres.pool import Pool
from ramet.data.postgres.report import Report
from ramet.data.postgres.transaction import LOG, PostgresTransaction
from ramet.data.statement import Statement
from ramet.data.store import Entry, Row
from ramet.errors import Problem

T = TypeVar("T")
WIDTH = 8
"""Columns of the log that a statement made by `Engine.logged` gives before those of the record."""
ATTEMPTS = 40
"""How often a work is run before it is refused, if its time is not over before."""
PAUSE = 0.002
"""Seconds before a second attempt, at most; twice as many before each of the next six."""
_BEGIN = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"
Committed = Callable[[int, Sequence[Change]], None]


class _AgainError(Exception):
    """Others were in the way of a transaction; `doubled` when that is because a value is there already."""

    def __init__(self, *, doubled: bool = False) -> None:
        super().__init__()
        self.doubled = doubled


class Writer:
    """`now` gives microseconds since 1970; `committed` is told the transaction and the log rows of each commit."""

    def __init__(
        self,
        pool: Pool,
        incarnation: str,
        now: Callable[[], int],
        committed: Committed,
        report: Report,
        *,
        queue_limit: int,
        timeout: float,
    ) -> None:
        self._pool = pool
        self._incarnation = incarnation
        self._now = now
        self._committed = committed
        self._report = report
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._inserts: dict[str, str] = {}
        self._closed = False
        self._done = asyncio.Event()
        self.waiting = 0

    async def run(self, work: Callable[[PostgresTransaction], Awaitable[T]]) -> T:
        """The result of `work` once its changes are committed."""
        self._enter()
        deadline = asyncio.timeout(self._timeout)
        try:
            async with deadline:
                return await self._attempt(work)
        except TimeoutError as error:
            detail = f"The change took longer than {self._timeout:g} s." if deadline.expired() else ""
            raise Problem("timed_out", detail) from error
        finally:
            self._leave()

    async def insert(self, statement: Statement, arguments: Row, entry: Entry) -> Position:
        """Its place in the log once both rows are committed: one statement, one round trip."""
        self._enter()
        try:
            return await self._insert(statement.sql, arguments, self._now(), entry)
        finally:
            self._leave()

    async def change(self, statement: Statement, values: Mapping[str, Any]) -> tuple[Row, Position] | None:
        """The changed row and its place in the log, once both are committed; None when there is no such record."""
        self._enter()
        try:
            at = self._now()
            row = await self._alone(statement.sql, statement.arguments({**values, "logged_at": at}))
        finally:
            self._leave()
        if row is None:
            return None
        seq, resource, record_id, kind, version, owner, record, xid = row[:WIDTH]
        self._committed(xid, (Change(seq, at, resource, record_id, kind, version, owner, record, xid),))
        return row[WIDTH:], Position(self._incarnation, xid)

    async def close(self) -> None:
        """Finishes what was accepted."""
        self._closed = True
        if self.waiting:
            await self._done.wait()

    def _enter(self) -> None:
        if self._closed:
            raise Problem("unavailable", "The server is stopping.", retry_after=1)
        if self.waiting >= self._queue_limit:
            raise Problem("overloaded", "Too many writes are waiting.", retry_after=1)
        self.waiting += 1

    def _leave(self) -> None:
        self.waiting -= 1
        if self._closed and not self.waiting:
            self._done.set()

    async def _attempt(self, work: Callable[[PostgresTransaction], Awaitable[T]]) -> T:
        found = False  # a value that was there already: whoever was quicker has committed, and is seen from then on
        for attempt in range(ATTEMPTS):
            try:
                return await self._once(work, first=not found)
            except _AgainError as again:
                found = found or again.doubled
                await asyncio.sleep(random.uniform(0, PAUSE * 2 ** min(attempt, 6)))
        raise Problem("unavailable", "Too many changes at once were in each other's way.", retry_after=1)

    async def _once(self, work: Callable[[PostgresTransaction], Awaitable[T]], *, first: bool) -> T:
        link = await self._begin()
        tx = PostgresTransaction(link.driver, self._incarnation, self._now(), self._report)
        try:
            result = await work(tx)
            if tx.again or await link.driver.execute("COMMIT") != "COMMIT":
                # The engine has given the transaction up because of a statement whose failure `work` went past.
                raise _AgainError if tx.again else Problem("conflict", "The transaction was given up.")
        except BaseException as error:
            cause = error.__cause__ if isinstance(error, Problem) and error.__cause__ is not None else error
            await self._undo(link, cause)
            if isinstance(error, Exception) and (tx.again or repeatable(cause) or (first and doubled(cause))):
                raise _AgainError(doubled=doubled(cause) and not tx.again) from error
            problem = as_problem(error) if isinstance(error, Exception) else error
            if problem is error:
                raise
            raise problem from error
        self._pool.give(link)
        if tx.logged:
            self._committed(tx.logged[0].xid, tx.logged)
        return result

    async def _begin(self) -> Link:
        """A connection with an open transaction. One that is dead is found out here, where nothing is lost yet."""
        tried = False
        while True:
            link, began = await self._pool.take(), time.monotonic()
            try:
                await link.driver.execute(_BEGIN)
            except BaseException as error:
                if self._pool.may_repeat(link, error, began) and not tried:
                    tried = True
                    continue
                problem = as_problem(error) if isinstance(error, Exception) else error
                if problem is error:
                    raise
                raise problem from error
            return link

    async def _undo(self, link: Link, error: BaseException) -> None:
        """Ends the transaction and takes the connection back."""
        if lost(error) or not isinstance(error, Exception):
            self._pool.failed(link, error)
            return
        try:
            await link.driver.execute("ROLLBACK")
        except BaseException as failure:
            self._pool.failed(link, failure)
            if not isinstance(failure, Exception):
                raise
        else:
            self._pool.give(link)

    async def _insert(self, sql: str, arguments: Row, at: int, entry: Entry) -> Position:
        both = self._inserts.get(sql)
        if both is None:
            first = len(arguments) + 1
            log = LOG.format(", ".join(f"${number}" for number in range(first, first + len(entry) + 1)))
            both = self._inserts[sql] = f"WITH stored AS ({sql}) {log}"
        seq, xid = await self._alone(both, (*arguments, at, *entry))
        self._committed(xid, (Change(seq, at, *entry, xid),))
        return Position(self._incarnation, xid)

    async def _alone(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        """The row of a statement that is a transaction by itself."""
        link = await self._pool.take()
        started = perf_counter()
        try:
            row = await link.driver.fetchrow(sql, *arguments)
        except BaseException as error:
            self._pool.failed(link, error)
            problem = as_problem(error) if isinstance(error, Exception) else error
            if problem is error:
                raise
            raise problem from error
        self._pool.give(link)
        self._report(sql, perf_counter() - started, int(row is not None))
        return row
