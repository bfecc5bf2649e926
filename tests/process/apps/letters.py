"""Anybody writes, and a hook after the commit says that it has been told."""

from __future__ import annotations

from ramet import Access, App, Context, Resource, after, everyone

OPEN = Access(read=everyone, create=everyone, update=everyone, delete=everyone)


class Letter(Resource):
    key: str

    access = OPEN

    @after("create")
    async def tell(self, ctx: Context) -> None:
        await ctx.create(Told(key=self.key, change=ctx.change))


class Told(Resource):
    """`change` names what the hook ran for: the same at each try."""

    key: str
    change: str

    path = "told"
    access = OPEN


app = App(resources=[Letter, Told])
