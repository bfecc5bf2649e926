"""What the driver raises, as problems a caller understands."""

from __future__ import annotations

import re

import asyncpg

from ramet.errors import Fault, Problem

_KEY = re.compile(r"Key \((?P<names>.+?)\)=")
LOST = ("57P01", "57P02", "57P03", "25006", "08")
"""SQLSTATEs, or their beginnings, after which a connection is of no use: a stopping, demoted or vanished server."""
AGAIN = ("40001", "40P01")
"""Those of a transaction that others were in the way of, and that may be run again."""


def lost(error: BaseException) -> bool:
    """Whether the connection that raised it is dead, or leads to a server that takes no writes any more."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(LOST)
    if isinstance(error, asyncpg.exceptions.DataError):
        return False
    # The driver's own error: the server has said farewell, and the end of the connection is still on its way.
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)


def repeatable(error: BaseException) -> bool:
    """Whether the transaction may be run again: others were in its way."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in AGAIN


def doubled(error: BaseException) -> bool:
    """Whether a value is there already. One that ran beside this may have been quicker with the same request.

    Whoever looks for such a value before storing it, like a repeated request for its answer, will find it now.
    """
    return isinstance(error, asyncpg.UniqueViolationError)


def as_problem(error: Exception) -> Exception:
    """The problem for a driver's error; the error itself when it is a fault of ours."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_state(error, str(error.sqlstate))
    if isinstance(error, TimeoutError) or lost(error):
        return Problem("unavailable", "The database does not answer.", retry_after=1)
    return error


def _of_state(error: Exception, state: str) -> Exception:
    match state:
        case "23505":
            return _not_unique(error)
        case "22021":
            # Bodies and queries with NUL are refused before: this is the id in an address, and no record has it.
            return Problem("not_found")
        case "23503":
            return Problem("still_referenced", "A record that this refers to is gone, or others refer to it.")
        case "53100":
            return Problem("storage_full", retry_after=5)
        case "57014":
            return Problem("query_too_costly")
        case "40001" | "40P01":
            return Problem("unavailable", "Too many changes at once were in each other's way.", retry_after=1)
        case "54000":
            return Problem("body_too_large", "A value is too long to be indexed.")
        case "55P03":
            return Problem("unavailable", "The database is busy.", retry_after=1)
    if state.startswith((*LOST, "53", "58")):
        return Problem("unavailable", "The database cannot be used right now.", retry_after=1)
    return error


def _not_unique(error: Exception) -> Problem:
    match = _KEY.match(str(getattr(error, "detail", "") or ""))
    names = [name.strip('" ') for name in match["names"].split(",")] if match else []
    faults = [Fault(f"/{name}", "not_unique", "Another record already has this value.") for name in names]
    return Problem("not_unique", f"Another record already has this {' and '.join(names)}.", faults=faults)
