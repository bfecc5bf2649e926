"""Changes that get in each other's way: their results are those of changes that came one after the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from ramet import Access, Context, Resource, Unique, action, everyone, exists, me, that, this
from ramet.errors import Problem
from tests.scenarios.core_world import person, running

A = person(1)
EVERYBODY = Access(read=everyone, create=everyone, update=everyone, delete=everyone, actions={"add": everyone})


class Counter(Resource):
    """What reads, thinks and writes."""

    total: int = 0

    access = EVERYBODY

    @action
    async def add(self, ctx: Context) -> None:
        self.total += 1


class Seat(Resource):
    """At most three may be taken, which no index can hold."""

    number: Annotated[int, Unique]

    access = Access(read=everyone, create=everyone, actions={"take": everyone})

    @action
    @classmethod
    async def take(cls, ctx: Context) -> int:
        taken = await ctx.count(cls)
        if taken >= 3:
            raise Problem("conflict", "There is no seat left.")
        await ctx.create(cls(number=taken))
        return taken


class Member(Resource):
    """Who may write in a book."""

    book: str
    user: str

    access = Access(read=everyone, create=everyone, delete=everyone)


class Book(Resource):
    text: str

    access = Access(
        read=everyone,
        create=everyone,
        update=exists("Member", that.book == this.id, that.user == me.id),
    )


async def test_nothing_is_lost_when_many_change_one_record_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with running(path, [Counter, Seat]) as one, running(path, [Counter, Seat]) as two:
        made = await one.create("/counters", A)
        await two.app.identity.rotate_keys()
        worlds = [one, two] * 10
        answers = await asyncio.gather(*[world.ask("POST", f"/counters/{made['id']}/add", A, {}) for world in worlds])
        assert {answer.status for answer in answers} == {204}
        (row,) = await one.app.as_system().list(Counter)
        assert (row.total, row.version) == (20, 21)
        changes = [change for change in await one.logged() if change.resource == "Counter"]
        assert [change.version for change in changes] == list(range(1, 22)), "the log has them in their order"


async def test_a_rule_over_many_records_holds_when_many_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with running(path, [Counter, Seat]) as one, running(path, [Counter, Seat]) as two:
        await two.app.identity.rotate_keys()
        answers = await asyncio.gather(*[world.ask("POST", "/seats/take", A, {}) for world in [one, two] * 5])
        assert sorted(answer.status for answer in answers) == [200] * 3 + [409] * 7
        assert sorted(seat.number for seat in await one.app.as_system().list(Seat)) == [0, 1, 2]


async def test_of_equal_unique_values_at_once_one_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with running(path, [Counter, Seat]) as one, running(path, [Counter, Seat]) as two:
        await two.app.identity.rotate_keys()
        answers = await asyncio.gather(*[world.ask("POST", "/seats", A, {"number": 7}) for world in [one, two] * 5])
        assert sorted(answer.status for answer in answers) == [201] + [409] * 9
        assert {answer.json["code"] for answer in answers if answer.status == 409} == {"not_unique"}
        assert all(answer.json["errors"][0]["pointer"] == "/number" for answer in answers if answer.status == 409)


async def test_who_is_expelled_while_a_change_of_theirs_waits_is_refused(tmp_path: Path) -> None:
    """The rule holds for what is there when the change is made, not for what was there when it began to wait."""
    b = person(2)
    async with running(tmp_path / "data.db", [Book, Member]) as world:
        book = await world.create("/books", A, text="old")
        await world.create("/members", A, book=book["id"], user=b.id)
        expelled, closed = asyncio.Event(), asyncio.Event()

        async def close(ctx: Context) -> None:
            stored = await ctx.get(Book, book["id"])
            for member in await ctx.list(Member, book=book["id"]):
                await ctx.delete(member)
            await ctx.update(stored, text="closed")
            expelled.set()
            await closed.wait()

        closing = asyncio.create_task(world.app.as_system().atomically(close))
        await expelled.wait()
        asking = asyncio.create_task(
            world.ask("PATCH", f"/books/{book['id']}", b, {"text": "mine"}, allow_failure=True)
        )
        await asyncio.sleep(0.3)  # waits: for the change to wait; it is refused in any case
        closed.set()
        await closing
        assert (await asking).status == 403
        assert (await world.ask("GET", f"/books/{book['id']}", A)).json["text"] == "closed"
