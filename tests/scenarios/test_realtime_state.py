"""Whatever several callers write, and wherever a subscriber breaks off and comes back, it ends with what REST shows."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ramet.testing import Caller, Event, Events
from tests.scenarios.realtime_world import running

STEPS = 60
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("tasks", {}),
    ("tasks", {"status": "pending"}),
    ("pages", {}),
    ("pages", {"text[contains]": "a"}),
    ("plans", {}),
    ("plans", {"text[in]": "a,b"}),
)
TEXTS = ("a", "b", "ab", "c")


class Subscriber:
    """A client as the reference tells to write one: the list at `ready` and `reload`, then the events."""

    def __init__(self, caller: Caller, path: str, filters: dict[str, str]) -> None:
        self.caller = caller
        self.path = path
        self.filters = filters
        self.known: dict[str, Any] = {}
        self.last = ""
        self.reloads = 0
        self._events: Events | None = None

    async def come(self) -> None:
        fresh = not self.last
        self._events = await self.caller.watch(self.path, self.filters, last_event_id=self.last).__aenter__()
        if fresh:
            await self.hear()
            self.known = await self.listed()

    async def leave(self) -> None:
        if self._events is not None:
            await self._events.__aexit__(None, None, None)
            self._events = None

    async def break_off(self, rng: random.Random) -> None:
        """Hears only some of what has been told, as when a connection breaks, and leaves."""
        if self._events is not None:
            heard = await self._events.rest()
            for event in heard[: rng.randrange(len(heard) + 1)]:
                await self._take(event)
            await self.leave()

    async def hear(self) -> list[Event]:
        """Takes all that has been told."""
        if self._events is None:
            return []
        heard = await self._events.rest()
        for event in heard:
            await self._take(event)
        return heard

    async def listed(self) -> dict[str, Any]:
        answer = await self.caller.get(self.path, {**self.filters, "limit": 100})
        assert answer.json["next"] is None
        return {record["id"]: record for record in answer.items}

    async def _take(self, event: Event) -> None:
        self.last = event.id or self.last
        if event.kind in ("created", "updated"):
            self.known[event.record["id"]] = event.record
        elif event.kind == "deleted":
            self.known.pop(event.data["record_id"], None)
        elif event.kind == "reload":
            self.reloads += 1
            self.known = await self.listed()


class Writers:
    """Callers who change records at random, some of them each other's."""

    def __init__(self, people: list[Caller], rng: random.Random) -> None:
        self._people = people
        self._rng = rng

    async def write(self) -> None:
        kinds: list[Callable[[Caller], Awaitable[None]]] = [self._task, self._page, self._plan, self._member]
        await self._rng.choice(kinds)(self._rng.choice(self._people))

    async def _task(self, who: Caller) -> None:
        await self._change(who, "tasks", {"title": self._text(), "status": self._rng.choice(("pending", "done"))})

    async def _page(self, who: Caller) -> None:
        await self._change(who, "pages", {"text": self._text(), "published": self._rng.random() < 0.5})

    async def _plan(self, who: Caller) -> None:
        teams = (await who.get("teams")).items
        if len(teams) < 2:
            (await who.post("teams", {})).ok()
        else:
            await self._change(who, "plans", {"team": self._rng.choice(teams)["id"], "text": self._text()})

    async def _member(self, who: Caller) -> None:
        teams = (await who.get("teams")).items
        if teams:
            user = self._rng.choice(self._people).id
            await self._change(who, "members", {"team": self._rng.choice(teams)["id"], "user": user})

    async def _change(self, who: Caller, path: str, values: dict[str, Any]) -> None:
        mine = [record for record in (await who.get(path)).items if path == "members" or record["owner"] == who.id]
        roll = self._rng.random()
        if len(mine) < 2 or roll < 0.2:
            (await who.post(path, values)).ok()
        elif roll < 0.85:
            (await who.patch(f"{path}/{self._rng.choice(mine)['id']}", values)).ok()
        else:
            (await who.delete(f"{path}/{self._rng.choice(mine)['id']}")).ok()

    def _text(self) -> str:
        return self._rng.choice(TEXTS)


@pytest.mark.parametrize("seed", range(6))
async def test_a_subscriber_ends_with_what_rest_shows(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with running(tmp_path) as client:
        people = [await client.sign_up(name, roles=["hr"] if name == "cy" else []) for name in ("ada", "bob", "cy")]
        writers = Writers(people, rng)
        subscribers = [Subscriber(who, path, filters) for who in people for path, filters in VIEWS]
        for one in subscribers:
            await one.come()
        for _ in range(STEPS):
            await writers.write()
            for one in subscribers:
                roll = rng.random()
                if roll < 0.1:
                    await one.break_off(rng)
                elif roll < 0.3 and one._events is None:
                    await one.come()
                elif roll < 0.6:
                    await check(one)
        for one in subscribers:
            if one._events is None:
                await one.come()
            await one.hear()
            assert one.known == await one.listed(), (one.caller.email, one.path, one.filters)
            await one.leave()


async def check(subscriber: Subscriber) -> None:
    """What was told last of each record is what REST shows now, nothing more and nothing else."""
    if subscriber._events is None:
        return
    heard = await subscriber.hear()
    listed = await subscriber.listed()
    last: dict[str, Event] = {}
    for event in heard:
        if event.kind == "reload":
            last.clear()
        elif "record_id" in event.data:
            last[event.data["record_id"]] = event
    for record_id, event in last.items():
        assert event.data.get("record") == listed.get(record_id), (subscriber.path, event)
    assert subscriber.known == listed
