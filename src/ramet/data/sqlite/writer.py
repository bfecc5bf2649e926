"""The one writer: takes what is waiting, runs each in a savepoint on the event loop, commits once in a thread.

Statements are short, so they run inline; only the commit waits for the disk, and it waits where nobody else does.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import apsw

from ramet.changes.change import Change, Position
from ramet.data.sqlite.failures import as_problem
from ramet.data.sqlite.report import Report
from ramet.data.sqlite.transaction import LOG, SqliteTransaction
from ramet.data.store import Entry, Row
from ramet.errors import Problem
from ramet.observe import BatchCommitted, Observer

T = TypeVar("T")
Work = Callable[[SqliteTransaction], Awaitable[Any]]
Done = tuple[asyncio.Future[Any], Any]
MAX_BATCH = 256
MAX_RUN = 64
RUN_BYTES = 65_536
RUN_SECONDS = 0.002
"""Bounds of the rows that are inserted together: their number, their size, and the time in which the event loop does
nothing else, as far as the run before tells how long a row takes."""
MAX_BATCH_SECONDS = 0.01
LOCK_WAIT = (0.0002, 0.002)
"""Least and greatest pause, in seconds, before another try for a lock that another process holds."""


class Insertion(NamedTuple):
    """One row to insert, and its row of the log."""

    sql: str
    arguments: Row
    entry: Entry


class Writer:
    """Serialises writes on `connection`. `now` gives microseconds since 1970.

    `committed` is called after each commit: with all that it logged, or with nothing where that has to be read.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        incarnation: str,
        now: Callable[[], int],
        committed: Callable[[Sequence[Change]], None],
        observer: Observer,
        report: Report,
        *,
        queue_limit: int,
        timeout: float,
    ) -> None:
        self._connection = connection
        self._incarnation = incarnation
        self._now = now
        self._committed = committed
        self._observer = observer
        self._report = report
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._waiting: deque[tuple[Work | Insertion, asyncio.Future[Any]]] = deque()
        self._thread = ThreadPoolExecutor(1, "ramet-commit")
        self._inserted: list[Change] = []
        self._run_rows = 8
        self._runs: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self, work: Callable[[SqliteTransaction], Awaitable[T]]) -> T:
        """The result of `work` once its changes are on disk."""
        return await self._queue(work)  # type: ignore[no-any-return]  # the result of this work

    def insert(self, insertion: Insertion) -> asyncio.Future[Position]:
        """Its place in the log once both rows are on disk."""
        return self._queue(insertion)

    def _queue(self, work: Work | Insertion) -> asyncio.Future[Any]:
        """Resolves when the work is on disk or refused."""
        if self._closed:
            raise _stopping()
        if len(self._waiting) >= self._queue_limit:
            raise Problem("overloaded", "Too many writes are waiting.", retry_after=1)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._runs is None or self._runs.done():
            self._runs = asyncio.create_task(self._run_batches())
        return future

    async def close(self) -> None:
        """Finishes what was accepted."""
        self._closed = True
        if self._runs is not None:
            await self._runs
        self._thread.shutdown(wait=True)
        self._connection.close()

    async def _run_batches(self) -> None:
        while self._waiting:
            try:
                await self._begin()
            except Exception as error:
                self._refuse_waiting(as_problem(error))
                return
            done: list[Done] = []
            self._inserted = []
            try:
                await self._run_batch(done)
                await self._commit(done)
            except BaseException:
                # Nobody but the end of the event loop gets here: nothing may stay open, and nobody may wait for ever.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                for future, _ in done:
                    _settle(future, error=_stopping())
                self._refuse_waiting(_stopping())
                raise

    async def _begin(self) -> None:
        """Takes the file's write lock; other processes may hold it for a commit at a time."""
        deadline = perf_counter() + self._timeout
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except apsw.BusyError:
                if perf_counter() > deadline:
                    raise
            await asyncio.sleep(random.uniform(*LOCK_WAIT))

    async def _run_batch(self, done: list[Done]) -> None:
        """Runs what waits; `done` gets the futures to acknowledge, with their results. Whatever fails fails alone."""
        ends = perf_counter() + MAX_BATCH_SECONDS
        while self._waiting and len(done) < MAX_BATCH and perf_counter() < ends:
            work, future = self._waiting[0]
            if isinstance(work, Insertion):
                given_up = self._insert_run(done)
            else:
                self._waiting.popleft()
                given_up = None if future.done() else await self._run_next(work, future, done)
            if given_up is not None:
                # The engine itself gave the whole transaction up, as it may when the disk is full.
                for future, _ in done:
                    _settle(future, error=given_up)
                done.clear()
                return

    async def _run_next(self, work: Work, future: asyncio.Future[Any], done: list[Done]) -> Exception | None:
        """Runs one work in its savepoint; what went wrong when the whole transaction is lost by that."""
        try:
            done.append((future, await self._run_one(work)))
        except Exception as error:
            _settle(future, error=error)
            return None if self._connection.in_transaction else error
        except BaseException:
            _settle(future, error=_stopping())
            raise
        return None

    def _insert_run(self, done: list[Done]) -> Exception | None:
        """Inserts rows that wait in a row: together where none of them is refused, else one by one.

        Gives what went wrong when the whole transaction is lost by that.
        """
        run = self._take_run()
        try:
            places = self._insert(run)
            if not isinstance(places, Exception):
                done += places
                return None
            lost: Exception | None = None
            for item in run:
                alone: list[Done] | Exception = places
                if lost is None and len(run) > 1 and self._connection.in_transaction:
                    alone = self._insert([item])
                if isinstance(alone, Exception):
                    lost = lost or (None if self._connection.in_transaction else alone)
                    _settle(item[1], error=lost or alone)
                else:
                    done += alone
            return lost
        except BaseException as error:
            for _, future in run:
                _settle(future, error=error if isinstance(error, Exception) else _stopping())
            raise

    def _take_run(self) -> list[tuple[Insertion, asyncio.Future[Any]]]:
        """The insertions that are next, as many as can be made in `RUN_SECONDS` by what the last run took."""
        run: list[tuple[Insertion, asyncio.Future[Any]]] = []
        size = 0
        while self._waiting and len(run) < self._run_rows and size < RUN_BYTES:
            work, future = self._waiting[0]
            if not isinstance(work, Insertion):
                break
            self._waiting.popleft()
            if not future.done():
                run.append((work, future))
                size += len(work.entry.record) if isinstance(work.entry.record, bytes) else 0
        return run

    def _insert(self, run: Sequence[tuple[Insertion, asyncio.Future[Any]]]) -> list[Done] | Exception:
        """The places of all in the log; what went wrong when one is refused, and then nothing of them stands."""
        tables: dict[str, list[tuple[Insertion, asyncio.Future[Any]]]] = {}
        for item in run:
            tables.setdefault(item[0].sql, []).append(item)
        ordered = [item for items in tables.values() for item in items]
        connection, now, started = self._connection, self._now(), perf_counter()
        try:
            connection.execute("SAVEPOINT run")
            for sql, items in tables.items():
                self._execute_many(sql, [insertion.arguments for insertion, _ in items])
            self._execute_many(LOG, [(now, *insertion.entry) for insertion, _ in ordered])
            connection.execute("RELEASE run")
        except Exception as error:
            with suppress(apsw.Error):  # there may be no savepoint, or no transaction any more
                connection.execute("ROLLBACK TO run")
                connection.execute("RELEASE run")
            return as_problem(error)
        if run:
            each = (perf_counter() - started) / len(run)
            self._run_rows = max(1, min(MAX_RUN, 2 * self._run_rows, int(RUN_SECONDS / max(each, 1e-6))))
        first = connection.last_insert_rowid() - len(ordered) + 1
        self._inserted += [Change(seq, now, *insertion.entry) for seq, (insertion, _) in enumerate(ordered, first)]
        return [(future, Position(self._incarnation, seq)) for seq, (_, future) in enumerate(ordered, first)]

    def _execute_many(self, sql: str, rows: Sequence[Row]) -> None:
        started = perf_counter()
        self._connection.executemany(sql, rows)
        self._report(self._connection, sql, perf_counter() - started, len(rows))

    async def _run_one(self, work: Work) -> Any:
        """The result of `work`, all of whose changes stand, or what it raised, and none of them do."""
        execute = self._connection.execute
        execute("SAVEPOINT work")
        deadline = asyncio.timeout(self._timeout)
        try:
            async with deadline:
                result = await work(SqliteTransaction(self._connection, self._incarnation, self._now(), self._report))
            execute("RELEASE work")
        except BaseException as error:
            if self._connection.in_transaction:
                execute("ROLLBACK TO work")
                execute("RELEASE work")
            if isinstance(error, TimeoutError):
                detail = f"The change took longer than {self._timeout:g} s." if deadline.expired() else ""
                raise Problem("timed_out", detail) from error
            if isinstance(error, asyncio.CancelledError) and not _cancelling():
                raise RuntimeError("The work was cancelled from within.") from error
            problem = as_problem(error) if isinstance(error, Exception) else error
            if problem is error:
                raise
            raise problem from error
        return result

    async def _commit(self, done: list[Done]) -> None:
        if not self._connection.in_transaction:
            return
        started = perf_counter()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._connection.execute, "COMMIT")
        except Exception as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            for future, _ in done:
                _settle(future, error=as_problem(error))
            return
        self._observer.emit(BatchCommitted(len(done), perf_counter() - started))
        # Where other work was done as well, its changes have to be read.
        self._committed(self._inserted if len(self._inserted) == len(done) else ())
        for future, result in done:
            _settle(future, result)

    def _refuse_waiting(self, error: Exception) -> None:
        while self._waiting:
            _settle(self._waiting.popleft()[1], error=error)


def _settle(future: asyncio.Future[Any], result: Any = None, error: Exception | None = None) -> None:
    """Resolves a future whose caller may have gone away."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _cancelling() -> bool:
    """Whether the running task itself is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _stopping() -> Problem:
    return Problem("unavailable", "The server is stopping.", retry_after=1)
