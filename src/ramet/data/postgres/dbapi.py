"""psycopg as SQLAlchemy's driver, for migrations only: they reflect tables and run Alembic's operations, which wait.

Others go on using the tables meanwhile. Whoever waits for a lock on a table keeps all others waiting behind it, so a
transaction that changes tables waits for a moment only, gives up all it has, and is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import psycopg
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Connection, Index, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ramet.data.fingerprint import LOCK_SECONDS
from ramet.data.migrations.failures import MigrationError
from ramet.data.postgres.connection import address
from ramet.data.postgres.values import TransactionId

T = TypeVar("T")
LOCK = 0x72616D6574
"""The advisory lock that whoever migrates holds."""
LOOK = 0.1
"""Seconds between two looks at it. To wait in the server would be a statement that the making of an index waits for."""
MOMENT = 0.8
"""Seconds that a statement waits for those who use a table. Less than `deadlock_timeout`: they are not who gives up."""
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0)
"""Seconds between two attempts."""
OPTIONS: dict[str, Any] = {"prepare_threshold": None, "application_name": "ramet migrate", "keepalives_idle": 30}
"""Of each connection: a pooler may be in between that knows no prepared statements."""
_ENDLESS = """\
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"""
_USERS = """\
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename), coalesce(a.state, 'unknown'),
  coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::int, 0), string_agg(DISTINCT c.relname, ', ')
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
WHERE l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
GROUP BY a.pid, a.application_name, a.usename, a.state, a.xact_start ORDER BY a.xact_start NULLS LAST LIMIT 3"""


class LaterImpl(PostgresqlImpl):
    """Alembic's operations, without the making of indexes that the declaration has: `derived` does it for them."""

    __dialect__ = "postgresql"

    def create_index(self, index: Index, **kw: Any) -> None:
        """Unless it is left for later."""
        later = self.context_opts.get("later")
        if later is None or not later.takes(index.name):
            super().create_index(index, **kw)

    def drop_index(self, index: Index, **kw: Any) -> None:
        """Unless it was left for later, and so is not there."""
        later = self.context_opts.get("later")
        if later is None or not later.gives_up(index.name):
            super().drop_index(index, **kw)


@contextmanager
def alone(url: str) -> Iterator[Callable[[], None]]:
    """Keeps other migrations out; what is given raises MigrationError when that is no longer so.

    The lock is held by a transaction of its own, which has no snapshot, so that it works behind a pooler and is not
    waited for. Waits while another process holds it; raises MigrationError after LOCK_SECONDS.
    """
    with _telling(), closing(psycopg.connect(address(url), **OPTIONS)) as keeper:
        keeper.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        deadline = time.monotonic() + LOCK_SECONDS
        while keeper.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,)).fetchone() != (True,):
            keeper.rollback()
            if time.monotonic() > deadline:
                raise MigrationError("Another migration is running. Wait for its end: it may make indexes.")
            time.sleep(LOOK)
        keeper.execute(_ENDLESS)

        def held() -> None:
            with _telling():
                keeper.execute("SELECT")

        yield held


@contextmanager
def migration_connection(url: str, *, lock: bool, keep: bool) -> Iterator[tuple[Connection, Any]]:
    """The database as SQLAlchemy and as the driver see it, in one transaction; `lock` bounds how it waits for others.

    What was done is undone at the end unless `keep`, and when something is raised. Raises what `held_up` knows when
    somebody is in the way, and MigrationError when the database cannot be used.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(address(url), **OPTIONS), poolclass=NullPool
    )
    engine.dialect.ischema_names = {**engine.dialect.ischema_names, "xid8": TransactionId}  # type: ignore[attr-defined]  # what reflection reads
    try:
        with _telling(), engine.connect() as connection:
            transaction = connection.begin()
            driver = connection.connection.driver_connection
            if lock and driver is not None:
                bound(driver)
            yield connection, driver
            if keep:
                transaction.commit()
            else:
                transaction.rollback()
    finally:
        engine.dispose()


def bound(driver: Any) -> None:
    """Lets each statement of a transaction wait for others for a moment only."""
    driver.execute(f"SET LOCAL lock_timeout = {int(MOMENT * 1000)}")


def patiently(url: str, work: Callable[[], T], outcome: str = "Nothing was changed.") -> T:
    """Does `work`, a transaction, again while others are in the way. Raises MigrationError if they stay there."""
    pauses = iter(PAUSES)
    while True:
        try:
            return work()
        except (DBAPIError, psycopg.Error) as error:
            if not held_up(error):
                raise
            pause = next(pauses, None)
            if pause is None:
                raise MigrationError(f"{in_the_way(url)} {outcome} Run `ramet migrate apply` again.") from error
        time.sleep(pause)


def held_up(error: Exception) -> bool:
    """Whether others were in the way: `patiently` tries again after this."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)


def in_the_way(url: str) -> str:
    """Who uses tables, the longest first, and what to do about it."""
    with _telling(), closing(psycopg.connect(address(url), autocommit=True, **OPTIONS)) as connection:
        found = connection.execute(_USERS).fetchall()
    if not found:
        return "Others were in the way of the migration again and again, and have ended by now."
    users = [f"process {pid} ({name}, {state}) has used {used} for {age} s" for pid, name, state, age, used in found]
    return (
        f"Others were in the way of the migration for too long: {'; '.join(users)}. "
        f"Wait for that, or end it with SELECT pg_terminate_backend({found[0][0]})."
    )


def reason(error: Exception) -> str:
    """What went wrong in a migration, without SQLAlchemy's words around it; other errors with their name."""
    if isinstance(error, DBAPIError):
        return str(error.orig).strip()
    return (
        str(error).strip() if isinstance(error, psycopg.Error | SQLAlchemyError) else f"{type(error).__name__}: {error}"
    )


@contextmanager
def _telling() -> Iterator[None]:
    """Says in a sentence that the database cannot be used."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if held_up(error) or not isinstance(cause, psycopg.OperationalError):
            raise
        raise MigrationError(f"The database cannot be migrated now: {reason(error)}.") from error
