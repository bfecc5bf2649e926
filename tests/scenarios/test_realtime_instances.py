"""Several instances on one database: a subscriber of one is told what is written through any, and misses nothing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from ramet.testing import Caller, Event
from tests.scenarios.realtime_world import running

WRITERS = 6
WRITES = 25


async def test_a_subscriber_is_told_what_is_written_through_another_instance(tmp_path: Path) -> None:
    async with running(tmp_path) as one, running(tmp_path) as two:
        ada = await one.sign_up("ada")
        there = Caller(two.app, ada.token, ada.id)
        async with ada.watch("tasks") as events:
            assert (await events.next()).kind == "ready"
            task = (await there.post("tasks", {"title": "one"})).ok()
            created = await events.next()
            assert (created.kind, created.record) == ("created", task)
            changed = (await there.patch(f"tasks/{task['id']}", {"title": "two"})).ok()
            assert (await events.next()).record == changed
            (await there.delete(f"tasks/{task['id']}")).ok()
            assert (await events.next()).kind == "deleted"
            assert await events.rest() == []


async def test_a_subscriber_goes_on_at_another_instance_where_it_broke_off(tmp_path: Path) -> None:
    async with running(tmp_path) as one, running(tmp_path) as two:
        ada = await one.sign_up("ada")
        there = Caller(two.app, ada.token, ada.id)
        async with ada.watch("tasks") as events:
            for title in ("a", "b", "c"):
                (await there.post("tasks", {"title": title})).ok()
            heard = [event for event in await events.rest() if event.kind == "created"]
        titles = [event.record["title"] for event in heard]
        assert titles == ["a", "b", "c"]
        assert len({event.id for event in heard}) == 3
        for number, event in enumerate(heard):
            async with there.watch("tasks", last_event_id=event.id) as events:
                again = await events.rest()
            assert [told.record["title"] for told in again[:-1]] == titles[number + 1 :]
            assert again[-1].kind == "ready"


async def test_what_is_written_side_by_side_is_told_however_often_a_subscriber_breaks_off(tmp_path: Path) -> None:
    """Nobody hears less than all of it, in whatever order transactions end and wherever a connection breaks."""
    rng = random.Random(7)
    async with running(tmp_path) as one, running(tmp_path) as two:
        ada = await one.sign_up("ada")
        places = [Caller(client.app, ada.token, ada.id) for client in (one, two)]
        expected: dict[str, str] = {}

        async def write(number: int) -> None:
            for count in range(WRITES):
                who = places[(number + count) % 2]
                page = (await who.post("pages", {"text": f"{number}.{count}"})).ok()
                # Rows from before an update stand in the log with these.
                changed = (await who.patch(f"pages/{page['id']}", {"published": True, "text": "after"})).ok()
                expected[page["id"]] = changed["text"]

        known: dict[str, str] = {}

        def take(events: list[Event]) -> str:
            last = ""
            for event in events:
                assert event.kind in ("created", "updated", "ready"), event
                last = event.id or last
                if event.kind != "ready":
                    known[event.record["id"]] = event.record["text"]
            return last

        async with ada.watch("pages") as events:
            mark = take([await events.next()])
        writing = [asyncio.ensure_future(write(number)) for number in range(WRITERS)]
        while not all(task.done() for task in writing):
            async with rng.choice(places).watch("pages", last_event_id=mark) as events:
                for _ in range(rng.randrange(5)):
                    await asyncio.sleep(0)
                heard = await events.rest()
                mark = take(heard[: rng.randrange(len(heard) + 1)]) or mark
        await asyncio.gather(*writing)
        async with rng.choice(places).watch("pages", last_event_id=mark) as events:
            take(await events.rest())
        assert known == expected
        assert len(known) == WRITERS * WRITES
