"""One process among several on a file does the chores: whoever holds a lock on a file beside the database."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ramet.errors import Unready

PATIENCE = 5.0
"""Seconds in which those that close the file before us have to be done."""
_LOOK = 0.005


def attend(database: Path) -> int:
    """Says that a process uses the file, until the descriptor that is given is closed.

    Raises Unready while another has it to itself.
    """
    return _lock(database, "served", fcntl.LOCK_SH)


def shut_out(database: Path) -> int:
    """Keeps all processes from the file that `attend` it, as above. Raises Unready while there are any."""
    return _lock(database, "served", fcntl.LOCK_EX)


@asynccontextmanager
async def in_turn(database: Path) -> AsyncIterator[None]:
    """Processes that close the file do so one after the other, each the last of its connections.

    The last connection moves the write-ahead log into the file. SQLite takes it for the last if nobody else has the
    file open at that moment: of two that close at once, neither may be, and the file would lack what the log has.
    A process that does not come to an end is not waited for any longer than `PATIENCE`; where there can be no lock,
    nobody is.
    """
    deadline = time.monotonic() + PATIENCE
    file = -1
    while file < 0 and time.monotonic() < deadline:
        try:
            file = _lock(database, "closing", fcntl.LOCK_EX)
        except Unready:
            await asyncio.sleep(_LOOK)
        except OSError:  # the disk is full or read-only, or there are no more descriptors
            break
    try:
        yield
    finally:
        if file >= 0:
            os.close(file)


class Leadership:
    """Locks are released by the system when the process ends, however it ends."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._held: dict[str, int] = {}

    def take(self, name: str) -> bool:
        """Whether this process leads in `name`; tries to become the leader if nobody is."""
        if name in self._held:
            return True
        try:
            self._held[name] = _lock(self._database, name, fcntl.LOCK_EX)
        except Unready:
            return False
        return True

    def close(self) -> None:
        for file in self._held.values():
            os.close(file)
        self._held.clear()


def _lock(database: Path, name: str, how: int) -> int:
    file = os.open(f"{database}-{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise Unready(f"Another process has {database.name} to itself. Wait for its end, or stop it.") from error
    return file
