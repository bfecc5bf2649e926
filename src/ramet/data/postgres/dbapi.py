"""psycopg as SQLAlchemy's driver, for migrations only: they reflect tables and run Alembic's operations, which wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ramet.data.fingerprint import LOCK_SECONDS
from ramet.data.migrations.failures import MigrationError
from ramet.data.postgres.connection import address
from ramet.data.postgres.values import TransactionId

LOCK = 0x72616D6574
"""The advisory lock that whoever migrates holds."""
STATEMENT_LOCK = 10
"""Seconds that a change of the schema waits for those who use a table: meanwhile all others wait behind it."""


@contextmanager
def migration_connection(url: str, *, lock: bool, keep: bool) -> Iterator[tuple[Connection, Any]]:
    """The database as SQLAlchemy and as the driver see it, in one transaction; `lock` keeps other migrations out.

    What was done is undone at the end unless `keep`, and when something is raised. Waits while another process holds
    the lock; raises MigrationError after LOCK_SECONDS.
    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(address(url)), poolclass=NullPool)
    engine.dialect.ischema_names = {**engine.dialect.ischema_names, "xid8": TransactionId}  # type: ignore[attr-defined]  # what reflection reads
    try:
        with engine.connect() as connection:
            transaction = connection.begin()
            driver = connection.connection.driver_connection
            if lock and driver is not None:
                driver.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                driver.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                driver.execute(f"SET LOCAL lock_timeout = '{STATEMENT_LOCK}s'")
            yield connection, driver
            if keep:
                transaction.commit()
            else:
                transaction.rollback()
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.OperationalError):
            raise
        raise MigrationError(f"The database cannot be migrated now: {reason(error)}.") from error
    finally:
        engine.dispose()


def reason(error: Exception) -> str:
    """What went wrong in a migration, without SQLAlchemy's words around it; other errors with their name."""
    if isinstance(error, DBAPIError):
        return str(error.orig).strip()
    return (
        str(error).strip() if isinstance(error, psycopg.Error | SQLAlchemyError) else f"{type(error).__name__}: {error}"
    )
