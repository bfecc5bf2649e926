"""Taskboard: the smallest application there is. People register, sign in, and keep tasks of their own.

ramet serve examples/taskboard/app.py --demo
"""

from __future__ import annotations

from typing import Annotated, Literal

from ramet import App, Context, Index, Length, Resource, SignIn


class Task(Resource):
    """A card on its owner's board."""

    title: Annotated[str, Length(1, 200)]
    column: Literal["todo", "doing", "done"] = "todo"

    indexes = [Index("owner", "column")]


async def demo(ctx: Context) -> SignIn:
    """One user with a few cards."""
    ready = SignIn("sam@taskboard.example", "three-columns")
    sam = ctx.as_user(await app.create_user(ready.email, ready.password, name="Sam"))
    for title in ("Water the plants", "Call the plumber", "Return the library books"):
        await sam.create(Task(title=title))
    await sam.create(Task(title="Paint the fence", column="doing"))
    return ready


app = App(resources=[Task], demo=demo)
