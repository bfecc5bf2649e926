"""Records for tests that kill, race and fill disks: public ones, a user's own, and what hooks and actions make."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from ramet import Access, App, Context, Index, Length, Resource, Unique, action, after, everyone, nobody, owner_only
from ramet.data.sqlite import committer

committer.LOG_PAGES = (200, 200)  # so that the write-ahead log is being moved whenever something befalls the process

PUBLIC = Access(
    read=everyone,
    create=everyone,
    update=everyone,
    delete=everyone,
    actions={"worker": everyone, "slow": everyone},
)


class Entry(Resource):
    """Public and cached, with everything that one change must change together: indexes, full text, the log."""

    key: Annotated[str, Length(1, 100), Unique]
    group: Annotated[str, Length(1, 40)] = "none"
    value: int = 0
    note: Annotated[str, Length(max=10_000)] = ""

    path = "entries"
    access = PUBLIC
    indexes = [Index("group")]
    search = ("note",)
    cache = 300

    @action(reads=True)
    @classmethod
    async def worker(cls, ctx: Context) -> int:
        """The process that answers on this connection."""
        return os.getpid()

    @action(transaction=False)
    @classmethod
    async def slow(cls, ctx: Context, key: str, seconds: float) -> Entry:
        """Creates an entry, and answers some time later."""

        async def store(ctx: Context) -> Entry:
            return await ctx.create(cls(key=key, group="slow"))

        made = await ctx.atomically(store)
        await asyncio.sleep(seconds)
        return made

    @after("create")
    async def receive(self, ctx: Context) -> None:
        """One receipt for each entry, however often this runs."""

        async def store(ctx: Context) -> None:
            if not await ctx.list(Receipt, entry=self.id, limit=1):
                await ctx.create(Receipt(entry=self.id))

        if self.group == "received":
            await ctx.atomically(store)


class Receipt(Resource):
    """Made by the hook after an entry was committed."""

    entry: Annotated[str, Length(36, 36), Unique]

    access = Access(read=everyone, create=nobody, update=nobody, delete=nobody)


class Own(Resource):
    """A user's own, cached for each user."""

    value: int = 0

    path = "own"
    access = owner_only()
    cache = 300


app = App(resources=[Entry, Receipt, Own])
