"""The one writer: takes what is waiting, runs each in a savepoint on the event loop, commits once in a thread.

Statements are short, so they run inline; only the commit waits for the disk, and it waits where nobody else does.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import apsw

from ramet.changes.change import Change, Position
from ramet.data.sqlite.committer import Committer
from ramet.data.sqlite.failures import as_problem
from ramet.data.sqlite.report import Report
from ramet.data.sqlite.transaction import LOG, SqliteTransaction
from ramet.data.store import Awaited, Entry, Row, Settle
from ramet.errors import Problem
from ramet.observe import BatchCommitted, Observer

T = TypeVar("T")
Work = Callable[[SqliteTransaction], Awaitable[Any]]
Done = tuple[Callable[[Any], object], Any]
"""Whom to tell, and what: the result, or an exception."""
MAX_BATCH = 256
MAX_RUN = 64
RUN_BYTES = 65_536
RUN_SECONDS = 0.002
"""Bounds of the rows that are inserted together: their number, their size, and the time in which the event loop does
nothing else, as far as the run before tells how long a row takes."""
MANY = 16
LOG_MANY = LOG.replace("INSERT", "INSERT OR ROLLBACK") + f", {LOG.rpartition('VALUES ')[2]}" * (MANY - 1)
"""`MANY` rows of the log at once. Without its `OR ROLLBACK` the engine would keep what was on each page before."""
MAX_BATCH_SECONDS = 0.01
LOCK_WAIT = (0.0002, 0.002)
"""Least and greatest pause, in seconds, before another try for a lock that another process holds."""
LONG = 2 * MAX_BATCH_SECONDS
"""Seconds from which holding that lock is long: others may look for it many times and miss the moment in between."""
LONG_ENOUGH = 0.05
"""Seconds for which it is held in long pieces before others are given the time to look for it once."""


class Insertion(NamedTuple):
    """One row to insert, its row of the log, and who is told its place there, or why it is not stored."""

    sql: str
    arguments: Row
    entry: Entry
    settle: Settle


class Asked(NamedTuple):
    """One work, and who waits for its result."""

    work: Work
    result: Awaited[Any]


class Writer:
    """Serialises writes on `connection`. `now` gives microseconds since 1970.

    `committed` is called after each commit: with all that it logged, or with nothing where that has to be read.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        committer: Committer,
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
        self._committer = committer
        self._incarnation = incarnation
        self._now = now
        self._committed = committed
        self._observer = observer
        self._report = report
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._waiting: deque[Asked | Insertion] = deque()
        self._inserted: list[Change] = []
        self._run_rows = 8
        self._held = self._theirs_until = 0.0
        self._runs: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self, work: Callable[[SqliteTransaction], Awaitable[T]]) -> T:
        """The result of `work` once its changes are on disk."""
        result: Awaited[T] = Awaited()
        self._queue(Asked(work, result))
        return await result

    def insert(self, insertion: Insertion) -> None:
        """Tells `insertion.settle` its place in the log once both rows are on disk."""
        self._queue(insertion)

    def _queue(self, asked: Asked | Insertion) -> None:
        if self._closed:
            raise _stopping()
        if len(self._waiting) >= self._queue_limit:
            raise Problem("overloaded", "Too many writes are waiting.", retry_after=1)
        self._waiting.append(asked)
        if self._runs is None or self._runs.done():
            self._runs = asyncio.create_task(self._run_batches())

    async def close(self) -> None:
        """Finishes what was accepted."""
        self._closed = True
        if self._runs is not None:
            await self._runs
        self._committer.close()
        self._connection.close()

    async def _run_batches(self) -> None:
        while self._waiting:
            done: list[Done] = []
            self._inserted = []
            try:
                if (theirs := self._theirs_until - perf_counter()) > 0:
                    await asyncio.sleep(theirs)
                await self._begin()
                began = perf_counter()
                await self._run_batch(done)
                await self._commit(done)
                self._give_way(began)
            except Exception as error:
                self._refuse(done, as_problem(error))
                return
            except BaseException:
                # Nobody but the end of the event loop gets here: nothing may stay open, and nobody may wait for ever.
                self._refuse(done, _stopping())
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

    def _give_way(self, began: float) -> None:
        """Leaves the lock to others for a moment after it was held long: who takes it again at once might for ever."""
        now = perf_counter()
        if now - began < LONG:
            return
        self._held += now - began
        if self._held >= LONG_ENOUGH:
            self._held, self._theirs_until = 0.0, now + 1.5 * LOCK_WAIT[1]

    async def _run_batch(self, done: list[Done]) -> None:
        """Runs what waits; `done` gets whom to tell of which result. Whatever fails fails alone."""
        ends = perf_counter() + MAX_BATCH_SECONDS
        while self._waiting and len(done) < MAX_BATCH and perf_counter() < ends:
            asked = self._waiting[0]
            if isinstance(asked, Insertion):
                given_up = await self._insert_run(done)
            else:
                self._waiting.popleft()
                given_up = None if asked.result.left else await self._run_next(asked, done)
            if given_up is not None:
                # The engine itself gave the whole transaction up, as it may when the disk is full.
                for settle, _ in done:
                    settle(given_up)
                done.clear()
                return

    async def _run_next(self, asked: Asked, done: list[Done]) -> Exception | None:
        """Runs one work in its savepoint; what went wrong when the whole transaction is lost by that."""
        try:
            done.append((asked.result.settle, await self._run_one(asked.work)))
        except Exception as error:
            asked.result.settle(error)
            return None if self._connection.in_transaction else error
        except BaseException:
            asked.result.settle(_stopping())
            raise
        return None

    async def _insert_run(self, done: list[Done]) -> Exception | None:
        """Inserts rows that wait in a row: together where none of them is refused, else one by one.

        Gives what went wrong when the whole transaction is lost by that.
        """
        run = self._take_run()
        alone = not done
        try:
            places = self._insert(run, alone=alone)
            if not isinstance(places, Exception):
                done += places
                return None
            if alone:
                await self._begin()
            lost: Exception | None = None
            for item in run:
                place: list[Done] | Exception = places
                if lost is None and len(run) > 1 and self._connection.in_transaction:
                    place = self._insert([item])
                if isinstance(place, Exception):
                    lost = lost or (None if self._connection.in_transaction else place)
                    item.settle(lost or place)
                else:
                    done += place
            return lost
        except BaseException as error:
            told = {settle for settle, _ in done}
            for item in run:
                if item.settle not in told:
                    item.settle(as_problem(error) if isinstance(error, Exception) else _stopping())
            raise

    def _take_run(self) -> list[Insertion]:
        """The insertions that are next, as many as can be made in `RUN_SECONDS` by what the last run took."""
        run: list[Insertion] = []
        size = 0
        while self._waiting and len(run) < self._run_rows and size < RUN_BYTES:
            insertion = self._waiting[0]
            if not isinstance(insertion, Insertion):
                break
            self._waiting.popleft()
            run.append(insertion)
            record = insertion.entry.record
            size += len(record) if isinstance(record, bytes) else 0
        return run

    def _insert(self, run: Sequence[Insertion], *, alone: bool = False) -> list[Done] | Exception:
        """The places of all in the log; what went wrong when one is refused, and then nothing of them stands.

        When they are `alone` in their transaction, it ends with that: keeping what was before each page would cost
        as much as the rows themselves.
        """
        tables: dict[str, list[Insertion]] = {}
        for insertion in run:
            tables.setdefault(insertion.sql, []).append(insertion)
        ordered = run if len(tables) == 1 else [insertion for table in tables.values() for insertion in table]
        connection, now, started = self._connection, self._now(), perf_counter()
        try:
            if not alone:
                connection.execute("SAVEPOINT run")
            for sql, table in tables.items():
                self._execute_many(sql, [insertion.arguments for insertion in table])
            self._log(now, ordered, alone=alone)
            if not alone:
                connection.execute("RELEASE run")
        except Exception as error:
            with suppress(apsw.Error):  # there may be no savepoint, or no transaction any more
                for undo in ("ROLLBACK",) if alone else ("ROLLBACK TO run", "RELEASE run"):
                    connection.execute(undo)
            return as_problem(error)
        each = (perf_counter() - started) / len(run)
        self._run_rows = max(1, min(MAX_RUN, 2 * self._run_rows, int(RUN_SECONDS / max(each, 1e-6))))
        first = connection.last_insert_rowid() - len(ordered) + 1
        self._inserted += [Change(seq, now, *insertion.entry) for seq, insertion in enumerate(ordered, first)]
        incarnation = self._incarnation
        return [(insertion.settle, Position(incarnation, seq)) for seq, insertion in enumerate(ordered, first)]

    def _log(self, now: int, run: Sequence[Insertion], *, alone: bool) -> None:
        """Adds the rows of the log; many by one statement, where a fault may undo the whole transaction."""
        left = len(run) % MANY if alone else len(run)
        if left:
            self._execute_many(LOG, [(now, *insertion.entry) for insertion in run[:left]])
        for start in range(left, len(run), MANY):
            values: list[Any] = []
            for insertion in run[start : start + MANY]:
                values += (now, *insertion.entry)
            started = perf_counter()
            self._connection.execute(LOG_MANY, values)
            self._report(self._connection, LOG_MANY, perf_counter() - started, MANY)

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
        try:
            await self._committer.commit()
        except Exception as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            problem = as_problem(error)
            for settle, _ in done:
                settle(problem)
            done.clear()
            return
        acknowledged, inserted = done.copy(), self._inserted
        done.clear()  # whatever happens now, it is on disk
        self._observer.emit(BatchCommitted(len(acknowledged), perf_counter() - started))
        # Where other work was done as well, its changes have to be read.
        self._committed(inserted if len(inserted) == len(acknowledged) else ())
        for settle, result in acknowledged:
            try:
                settle(result)
            except Exception as error:  # the others are still to be told
                loop = asyncio.get_running_loop()
                loop.call_exception_handler({"message": "A stored change could not be told.", "exception": error})

    def _refuse(self, done: list[Done], error: Exception) -> None:
        """Nothing of the batch stands, nor is anything begun that waits."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        for settle, _ in done:
            settle(error)
        while self._waiting:
            asked = self._waiting.popleft()
            (asked if isinstance(asked, Insertion) else asked.result).settle(error)


def _cancelling() -> bool:
    """Whether the running task itself is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _stopping() -> Problem:
    return Problem("unavailable", "The server is stopping.", retry_after=1)
