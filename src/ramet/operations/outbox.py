"""Hooks after the commit: driven by the change log, so that each runs at least once, also when a process was killed.

One process runs them. What it has come through is kept in the database; a hook that fails is put aside with its
change and tried again later, ever more slowly, while the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.sql.expression import Executable

from ramet.changes.change import Change
from ramet.data.statement import Statement, compile_statement
from ramet.data.store import Transaction
from ramet.declare.catalog import Catalog
from ramet.declare.resource import Hook
from ramet.errors import Problem
from ramet.identity.caller import system
from ramet.observe import HookFailed
from ramet.operations.context import Context
from ramet.operations.core import Core
from ramet.operations.writing import Writing

NAME = "hooks"
BATCH = 100
HOOK_TIMEOUT = 30.0
RETRY = (1.0, 3_600.0)
"""Seconds before the first and between the last tries of a hook that fails; each wait is twice the one before."""
MOMENTS = {"created": "create", "updated": "update", "deleted": "delete"}


class Aside(msgspec.Struct):
    """A hook that failed for a change, to be tried again at `due` (microseconds since 1970)."""

    key: str
    due: int
    attempt: int
    change: Change


class Outbox:
    """Runs the `@after` hooks of a catalog. `wake` may be called whenever something may have been committed."""

    def __init__(self, core: Core, writing: Writing) -> None:
        self._core = core
        self._writing = writing
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._statements = _Statements(core)
        self._needed = follows(core.catalog)

    def start(self) -> None:
        """Begins to run hooks in this process as soon as it leads. Without such hooks nothing is started."""
        if self._needed:
            self._core.feed.subscribe(self._wake, self._awake.set)
            self._awake.set()
            self._task = asyncio.create_task(self._run(), name="after-commit hooks")

    async def stop(self) -> None:
        """Ends after the hook that is running; what was not confirmed runs again later."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _wake(self, changes: Sequence[Change]) -> None:
        self._awake.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY[0]):
                    await self._awake.wait()
            self._awake.clear()
            try:
                if await self._core.store.lead(NAME):
                    await self._lead()
            except Exception as error:
                self._core.observer.emit(HookFailed("outbox", "", 1, repr(error)))

    async def _lead(self) -> None:
        """Does all there is, and goes on to lead meanwhile, however long hooks take."""
        renewing = asyncio.create_task(self._renew(), name="lead after-commit hooks")
        try:
            await self._advance()
            await self._retry()
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RETRY[0])
            with suppress(Exception):  # it is looked at before each change
                await self._core.store.lead(NAME)

    async def _advance(self) -> None:
        """Runs the hooks of every change after the kept place, then keeps the new one."""
        # Another may have led since this process did.
        rows = await self._core.store.fetch(self._statements.place, {"name": NAME})
        place = str(rows[0][0]) if rows else ""
        while True:
            changes, after = await self._core.store.changes.page(place, BATCH)
            if not changes:
                return
            failed: list[Aside] = []
            for change in changes:
                if not await self._core.store.lead(NAME):
                    return
                for number, hook in enumerate(self._hooks_of(change)):
                    aside = Aside(f"{change.seq}.{number}", 0, 0, change)
                    if not await self._call(hook, aside):
                        failed.append(aside)
            await self._keep(place, after, failed)
            place = after

    async def _retry(self) -> None:
        """Tries what was put aside and is due."""
        rows = await self._core.store.fetch(self._statements.due, {"now": self._core.now(), "limit": BATCH})
        for (content,) in rows:
            aside = msgspec.json.decode(content, type=Aside)
            hooks = self._hooks_of(aside.change)
            number = int(aside.key.partition(".")[2])
            done = number >= len(hooks) or await self._call(hooks[number], aside)

            async def settle(tx: Transaction, aside: Aside = aside, done: bool = done) -> None:
                await tx.fetch(self._statements.drop, {"key": aside.key})
                if not done:
                    await tx.fetch(self._statements.put, self._row(aside))

            await self._core.store.write(settle)

    async def _call(self, hook: Hook, aside: Aside) -> bool:
        """Whether the hook ran through."""
        change = aside.change
        info = self._core.catalog.by_name[change.resource]
        try:
            record = msgspec.json.decode(change.record or b"{}", type=info.cls)
            async with asyncio.timeout(HOOK_TIMEOUT):
                await hook.function(record, Context(self._core, self._writing, system(), change=str(change.seq)))
        except Exception as error:
            aside.attempt += 1
            name = f"{info.name}.{hook.function.__name__}"
            self._core.observer.emit(HookFailed(name, str(change.seq), aside.attempt, repr(error)))
            return False
        return True

    async def _keep(self, before: str, place: str, failed: Sequence[Aside]) -> None:
        async def work(tx: Transaction) -> None:
            kept = await tx.fetch(self._statements.place, {"name": NAME})
            if [str(row[0]) for row in kept] != ([before] if before else []):
                raise Problem("conflict", "Another process has led meanwhile.")
            await tx.fetch(self._statements.forget, {"name": NAME})
            await tx.fetch(self._statements.remember, {"name": NAME, "position": place})
            for aside in failed:
                await tx.fetch(self._statements.drop, {"key": aside.key})  # another may have put it there
                await tx.fetch(self._statements.put, self._row(aside))

        await self._core.store.write(work)

    def _row(self, aside: Aside) -> dict[str, Any]:
        wait = min(RETRY[1], RETRY[0] * 2 ** min(aside.attempt - 1, 30))
        aside.due = self._core.now() + int(wait * 1e6)
        return {"key": aside.key, "due": aside.due, "content": msgspec.json.encode(aside)}

    def _hooks_of(self, change: Change) -> tuple[Hook, ...]:
        info = self._core.catalog.by_name.get(change.resource)
        return info.hooks_for("after", MOMENTS.get(change.kind, "")) if info is not None else ()


class _Statements:
    """The outbox's own SQL."""

    def __init__(self, core: Core) -> None:
        followers, aside = core.schema.followers, core.schema.outbox

        def compiled(clause: Executable) -> Statement:
            return compile_statement(clause, core.engine.dialect)  # type: ignore[arg-type]  # every clause used here compiles

        self.place = compiled(select(followers.c.position).where(followers.c.name == bindparam("name")))
        self.forget = compiled(delete(followers).where(followers.c.name == bindparam("name")))
        self.remember = compiled(insert(followers).values(name=bindparam("name"), position=bindparam("position")))
        self.put = compiled(
            insert(aside).values(key=bindparam("key"), due=bindparam("due"), content=bindparam("content"))
        )
        self.drop = compiled(delete(aside).where(aside.c.key == bindparam("key")))
        self.due = compiled(
            select(aside.c.content)
            .where(aside.c.due <= bindparam("now"))
            .order_by(aside.c.due)
            .limit(bindparam("limit"))
        )


def follows(catalog: Catalog) -> bool:
    """Whether any resource has hooks after the commit."""
    return any(when == "after" for info in catalog for when, _ in info.hooks)
