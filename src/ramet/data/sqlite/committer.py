"""Commits in a thread of its own, and moves the write-ahead log into the file beside them, where nobody waits.

SQLite by itself moves a log that has become long within a commit, and all who write wait for that: the longer the log,
the longer. A long log is cheaper, though, for pages that changed a hundred times are moved once. So most of it is moved
on another connection while commits go on; what they have written meanwhile is moved after one of them, and then the
log begins anew. Where other processes write all the time, one of them may always have committed meanwhile: once the log
is twice as long as it should be, they wait for that last part.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import apsw

from ramet.data.sqlite.connection import open_connection

LOG_PAGES = (1_000, 16_000)
"""Least and greatest number of pages in the log from which it is moved, in between as many as fit into `ROOM`."""
ROOM = 8
"""The part of the room on the disk that the log may take: one in so many."""
PASSES = 2
"""How often what was written meanwhile is moved without stopping anybody."""
TURN = 100
"""Milliseconds that are waited for others to let this process write."""


class _Move(Enum):
    """How far the log has been moved."""

    NO = auto()
    RUNNING = auto()
    NEARLY = auto()


class Committer:
    """Commits the transactions of `connection` to the file at `path`.

    `pages` tells how many the log has; without it, SQLite moves it by itself.
    """

    def __init__(self, connection: apsw.Connection, path: Path, pages: Callable[[], int] | None) -> None:
        self._connection = connection
        self._path = path
        self._pages = pages
        self._move = _Move.NO
        self._most = self._due = _log_pages(connection, path)
        self._thread = ThreadPoolExecutor(1, "ramet-commit")
        self._mover = ThreadPoolExecutor(1, "ramet-checkpoint")
        self._beside: apsw.Connection | None = None
        if pages is not None:
            connection.pragma("wal_autocheckpoint", 0)

    async def commit(self) -> None:
        """Returns once the transaction is on disk. Raises what the engine raises."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit)
        self._look()

    def close(self) -> None:
        """Ends its threads, once they have done what they are at."""
        self._thread.shutdown(wait=True)
        self._mover.shutdown(wait=True)
        if self._beside is not None:
            self._beside.close()

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        finally:
            if self._move is _Move.NEARLY:
                self._end()

    def _look(self) -> None:
        """Begins to move the log when it is long. Raises nothing: the transaction is on disk, and must be told so."""
        if self._pages is None:
            return
        pages = self._pages()
        if pages < self._most:
            self._due = self._most
        elif pages >= self._due and self._move is _Move.NO:
            # Whoever reads an old state of the database keeps the log from beginning anew, maybe for long.
            self._due = pages + self._most // 4
            self._move = _Move.RUNNING
            try:
                self._mover.submit(self._run)
            except RuntimeError:  # there can be no more threads: all of it is left to the next commit
                self._move = _Move.NEARLY

    def _run(self) -> None:
        try:
            if self._beside is None:
                self._beside = open_connection(self._path, writes=True)
                self._beside.set_busy_timeout(TURN)
            for _ in range(PASSES):
                self._beside.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except Exception:  # another process is at it, or the disk is full: then all of it is left to the next commit
            pass
        finally:
            self._move = _Move.NEARLY

    def _end(self) -> None:
        """Moves what is left. What fails here will be tried again; if the disk is full, commits fail by themselves."""
        self._move = _Move.NO
        alone = self._shut_out()
        with suppress(apsw.Error):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if alone is not None:
            with suppress(apsw.Error):
                alone.execute("ROLLBACK")

    def _shut_out(self) -> apsw.Connection | None:
        """The connection whose transaction keeps others from writing, if the log is too long, and if that can be had.

        A checkpoint that waits would keep them from it for as long as somebody reads an old state.
        """
        beside = self._beside
        if beside is None or self._pages is None or self._pages() < 2 * self._most:
            return None
        try:
            beside.execute("BEGIN IMMEDIATE")
        except apsw.Error:
            return None
        return beside


def _log_pages(connection: apsw.Connection, path: Path) -> int:
    disk = os.statvfs(path)
    fit = disk.f_bavail * disk.f_frsize // (ROOM * connection.pragma("page_size"))
    least, most = LOG_PAGES
    return int(min(most, max(least, fit)))
