"""An application with a field of every kind, references in a ring, a search, and a hook after the commit."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from ramet import App, Context, Digits, Email, Json, Length, Ref, Resource, Unique, Url, after, owner_only


class Room(Resource):
    name: str
    best: Annotated[str | None, Ref("Piece", on_delete="null")] = None

    access = owner_only()


class Piece(Resource):
    title: Annotated[str, Length(1, 200), Unique]
    room: Annotated[str | None, Ref("Room")] = None
    beside: Annotated[str | None, Ref("Piece", on_delete="null")] = None
    number: int = 0
    weight: float = 0.0
    price: Annotated[Decimal, Digits(12, 2)] = Decimal("0.00")
    sold: bool = False
    made_on: date | None = None
    seen_at: datetime | None = None
    state: Literal["new", "used"] = "new"
    maker: Email | None = None
    page: Url | None = None
    data: Json = None
    tags: list[str] = []

    access = owner_only()
    search = ("title",)

    @after("create")
    async def note(self, ctx: Context) -> None:
        await ctx.create(Note(text=self.title, owner=self.owner))


class Note(Resource):
    """What the hook has done."""

    text: str

    access = owner_only()


app = App(resources=[Room, Piece, Note])
