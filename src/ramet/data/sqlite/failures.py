"""What the driver raises, as problems a caller understands."""

from __future__ import annotations

import re

import apsw

from ramet.errors import Fault, Problem

_UNIQUE = re.compile(r"UNIQUE constraint failed: (.+)")


def as_problem(error: Exception) -> Exception:
    """The problem for a driver's error; the error itself when it is a fault of ours."""
    if isinstance(error, apsw.ConstraintError):
        return _constraint(error)
    if isinstance(error, apsw.FullError):
        return Problem("storage_full", retry_after=5)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Problem("unavailable", "The database is busy.", retry_after=1)
    if isinstance(error, apsw.InterruptError):
        return Problem("query_too_costly")
    if isinstance(error, apsw.IOError | apsw.CantOpenError | apsw.ReadOnlyError | apsw.CorruptError | apsw.NotADBError):
        return Problem("unavailable", "The database file cannot be used right now.", retry_after=5)
    if isinstance(error, apsw.TooBigError):
        return Problem("body_too_large")
    return error


def _constraint(error: apsw.ConstraintError) -> Exception:
    match = _UNIQUE.search(str(error))
    if match:
        names = [column.split(".")[-1] for column in match[1].split(", ")]
        faults = [Fault(f"/{name}", "not_unique", "Another record already has this value.") for name in names]
        return Problem("not_unique", f"Another record already has this {' and '.join(names)}.", faults=faults)
    if "FOREIGN KEY" in str(error):
        return Problem("still_referenced", "A record that this refers to is gone, or others refer to it.")
    return error
