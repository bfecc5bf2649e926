"""Chores of one process: the log, idempotency keys and other rows that have served are deleted in small batches."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, delete, select
from sqlalchemy.sql.elements import CompilerElement
from sqlalchemy.sql.schema import Column

from ramet.data.statement import Statement, compile_statement
from ramet.data.store import Transaction
from ramet.observe import Lifecycle
from ramet.operations.core import Core
from ramet.operations.outbox import NAME as HOOKS
from ramet.operations.outbox import follows

NAME = "chores"
BATCH = 1_000
INTERVAL = 60.0
"""Seconds between two rounds."""


class Housekeeping:
    """Deletes what is older than its retention. Log rows that a durable follower has not come through stay."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._task: asyncio.Task[None] | None = None
        schema, dialect = core.schema, core.engine.dialect
        followers = schema.followers
        changes, keys = schema.changes, schema.idempotency
        self._changes = compile_statement(
            _oldest(changes, changes.c.seq, changes.c.seq, core.engine.come_through(changes, followers)), dialect
        )
        self._keys = compile_statement(_oldest(keys, keys.c.key, keys.c.at), dialect)

        forget = delete(followers).where(followers.c.name == HOOKS)
        # An application that has no hooks any more must not keep the log for them.
        self._forget = None if follows(core.catalog) else compile_statement(forget, dialect)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="chores")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def tidy(self) -> int:
        """One round; the number of rows deleted."""
        settings = self._core.settings
        if self._forget is not None:
            await self._core.store.write(self._forget_hooks)
        if self._core.store.units is not None:
            await self._core.store.units.tidy()
        deleted = await self._delete(self._changes, settings.changes_retention)
        return deleted + await self._delete(self._keys, settings.idempotency_retention)

    async def _forget_hooks(self, tx: Transaction) -> None:
        if self._forget is not None:
            await tx.fetch(self._forget, {})

    async def _delete(self, statement: Statement, retention: float) -> int:
        deleted = 0
        limit = self._core.now() - int(retention * 1e6)
        while True:

            async def work(tx: Transaction) -> int:
                return len(await tx.fetch(statement, {"limit": BATCH, "before": limit}))

            count = await self._core.store.write(work)
            deleted += count
            if count < BATCH:
                return deleted

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                if await self._core.store.lead(NAME):
                    await self.tidy()
            except Exception as error:
                self._core.observer.emit(Lifecycle("chores", f"failed and will be tried again: {error!r}"))


def _oldest(table: Table, key: Column[Any], order: Column[Any], *conditions: ColumnElement[bool]) -> CompilerElement:
    """Deletes the first rows by `order` that are old. The log has no index on time: its order is that of time."""
    first = select(key, table.c.at).where(*conditions).order_by(order).limit(bindparam("limit")).subquery()
    old = select(first.c[key.name]).where(first.c.at < bindparam("before"))
    return delete(table).where(key.in_(old)).returning(key)
