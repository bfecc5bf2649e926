"""Demo data goes into empty databases only, and its sign-in is remembered."""

from __future__ import annotations

from ramet import App, Context, Resource, SignIn
from ramet.operate.demo import fill, ready_sign_in
from ramet.testing import Client

READY = SignIn("ann@example.com", "a-good-long-secret", "And more.")


class Note(Resource):
    """A note."""

    text: str = ""


async def demo(ctx: Context) -> SignIn:
    """One note."""
    await ctx.create(Note(text="Demo"))
    return READY


app = App(resources=[Note])


async def test_an_empty_database_is_filled_once() -> None:
    async with Client(app) as client:
        assert await ready_sign_in(app.store) is None
        told = [await fill(client.system, app.catalog, app.store, demo) for _ in range(2)]

        assert told == [str(READY)] * 2
        assert await client.system.count(Note) == 1
        assert await ready_sign_in(app.store) == READY


async def test_what_people_have_entered_is_left_alone() -> None:
    async with Client(app) as client:
        await client.system.create(Note(text="Mine"))

        assert await fill(client.system, app.catalog, app.store, demo) == ""
        assert [note.text for note in await client.system.list(Note)] == ["Mine"]
        assert await ready_sign_in(app.store) is None


async def test_a_demo_may_say_something_else_or_nothing() -> None:
    async def silent(ctx: Context) -> None:
        await ctx.create(Note())

    async def talking(ctx: Context) -> str:
        return "There is nothing to see."

    async with Client(app) as client:
        assert await fill(client.system, app.catalog, app.store, talking) == "There is nothing to see."
        assert await fill(client.system, app.catalog, app.store, silent) == ""
        assert await ready_sign_in(app.store) is None
