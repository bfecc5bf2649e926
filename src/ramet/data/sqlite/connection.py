"""Opening the database file the way Ramet needs it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import apsw

from ramet.errors import SettingsError

PAGE_CACHE_KIB = 4_096
LOCKED = 5.0
"""Seconds that another process may hold the lock of the file."""
LOG_BYTES = 80 * 1024 * 1024
"""What the file of the write-ahead log is cut back to when it begins anew: more than it takes (see `committer`), so
that its blocks are not given back and taken again each time."""
_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
_UNUSABLE = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
)

DAMAGED = (apsw.CorruptError, apsw.NotADBError)
"""What is raised for a file that has pages which are none, wherever they are found."""


def database_path(url: str) -> Path:
    """The file of `sqlite:///relative` or `sqlite:////absolute`. Raises SettingsError for anything else."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "sqlite" or parts.netloc or len(path) < 2 or path == "/:memory:":
        raise SettingsError("RAMET_DATABASE_URL: expected sqlite:///FILE (or sqlite:////absolute/FILE).")
    return Path(path[1:])


def unusable(path: Path, error: apsw.Error) -> SettingsError:
    """What is told of a file that cannot be used, and what to do about it."""
    advice = ""
    if isinstance(error, DAMAGED):
        advice = f" Restore it from a backup, or see what `sqlite3 {path.name} .recover` can save of it."
    return SettingsError(f"RAMET_DATABASE_URL: {path.name} cannot be used: {error}.{advice}")


def open_connection(path: Path, *, writes: bool) -> apsw.Connection:
    """One connection in WAL mode. A writing one commits durably; a reading one cannot write.

    It is for one thread at a time, whichever, and has no lock of its own.

    Raises SettingsError when the file cannot be opened, is not a database, is locked for long, or its disk is full or
    fails.
    """
    try:
        connection = apsw.Connection(str(path), flags=_FLAGS, statementcachesize=500)
        # Without this a statement is planned for the values it was given first, and planned anew for others: a list
        # at each of its runs, since the planner looks at its LIMIT.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.set_busy_timeout(int(LOCKED * 1_000))
        if writes:
            _log_ahead(connection)
            connection.pragma("synchronous", "full")
            connection.pragma("foreign_keys", True)
            connection.pragma("wal_autocheckpoint", 4_000)
            connection.pragma("journal_size_limit", LOG_BYTES)
        else:
            connection.pragma("query_only", True)
        connection.pragma("cache_size", -PAGE_CACHE_KIB)
        connection.pragma("temp_store", "memory")
        connection.pragma("trusted_schema", False)
        connection.set_busy_timeout(0)
    except _UNUSABLE as error:
        raise unusable(path, error) from error
    connection.create_scalar_function("ramet_fold", _fold, 1, deterministic=True)
    return connection


def _log_ahead(connection: apsw.Connection) -> None:
    """SQLite does not wait, whatever its time-out, while another process makes a new file keep a log, as we do."""
    deadline = time.monotonic() + LOCKED
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.005)  # as SQLite does itself elsewhere, until the deadline


def _fold(*values: Any) -> str | None:
    (value,) = values
    return None if value is None else str(value).casefold()
