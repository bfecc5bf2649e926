"""Reads: short ones inline on the event loop, long ones in a thread, all under a bound of steps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import apsw

from ramet.data.sqlite.connection import DAMAGED, open_connection, unusable
from ramet.data.sqlite.failures import as_problem
from ramet.data.sqlite.report import Report
from ramet.data.statement import Statement
from ramet.data.store import Row, Rows
from ramet.errors import Problem

INLINE_STEPS = 25_000
"""Virtual-machine steps (about a millisecond) after which an inline read is given to a thread."""
THREADS = 2
WAITING = 64
"""Reads that may wait for a thread; more would take the process's whole share of requests in flight."""


class _Budget:
    """Counts calls of SQLite's progress handler; true ends the statement."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


class Reader:
    """Read-only connections: one for the event loop, one for each of two threads."""

    def __init__(self, path: Path, max_steps: int, report: Report) -> None:
        self._path = path
        self._calls = max(1, max_steps // INLINE_STEPS)
        self._report = report
        self._inline, self._budget = self._open()
        self._pool = ThreadPoolExecutor(THREADS, "ramet-read")
        self._idle: SimpleQueue[tuple[apsw.Connection, _Budget]] = SimpleQueue()
        for _ in range(THREADS):
            self._idle.put(self._open())
        self._waiting = 0
        self.execute = self._inline.execute

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """All rows. A statement that once proved costly goes to a thread from then on.

        Raises Problem `query_too_costly`, and `overloaded` when too many others wait for a thread.
        """
        arguments = statement.arguments(values)
        found = self.fetch_inline(statement, arguments)
        if found is not None:
            return found
        if self._waiting >= WAITING:
            raise Problem("overloaded", "Too many long reads are waiting.", retry_after=2)
        started = perf_counter()
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            rows = await loop.run_in_executor(self._pool, self._fetch_in_thread, statement.sql, arguments)
        finally:
            self._waiting -= 1
        self._report(self._inline, statement.sql, perf_counter() - started, len(rows))
        return rows

    def fetch_inline(self, statement: Statement, arguments: Row) -> Rows | None:
        """All rows of a statement that is not known to be costly; None when it is, or now proves to be."""
        if statement.costly:
            return None
        self._budget.left = 1
        started = perf_counter()
        try:
            rows: Rows = self.execute(statement.sql, arguments).fetchall()
        except apsw.InterruptError:
            statement.costly = True
            return None
        except apsw.Error as error:
            raise as_problem(error) from error
        self._report(self._inline, statement.sql, perf_counter() - started, len(rows))
        return rows

    def fetch_now(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        """Rows of a statement known to be short. Raises SettingsError when it meets a damaged part of the file."""
        self._budget.left = 1_000
        try:
            return self.execute(sql, arguments).fetchall()
        except DAMAGED as error:
            raise unusable(self._path, error) from error

    def finish(self) -> None:
        """Ends its threads, once they have read what they are at."""
        self._pool.shutdown(wait=True)

    def close(self) -> None:
        """Once it has finished."""
        for _ in range(THREADS):
            self._idle.get()[0].close()
        self._inline.close()

    def _open(self) -> tuple[apsw.Connection, _Budget]:
        connection = open_connection(self._path, writes=False)
        budget = _Budget()
        connection.set_progress_handler(budget, INLINE_STEPS)
        return connection, budget

    def _fetch_in_thread(self, sql: str, arguments: tuple[Any, ...]) -> list[Any]:
        connection, budget = self._idle.get()
        budget.left = self._calls
        try:
            return connection.execute(sql, arguments).fetchall()
        except apsw.Error as error:
            raise as_problem(error) from error
        finally:
            self._idle.put((connection, budget))
