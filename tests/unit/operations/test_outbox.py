"""Hooks after the commit: at least once, in order, again after failures and restarts, in one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ramet import Context, Resource, after, owner_only
from ramet.errors import Problem
from ramet.observe import HookFailed
from ramet.operations import outbox
from tests.scenarios.core_world import Clock, World, person, running

A = person(1)


class Seen:
    """What the hooks of one process saw, and which texts they fail for."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.changes: list[str] = []
        self.failing: set[str] = set()


class Letter(Resource):
    text: str
    access = owner_only()

    @after("create", "update", "delete")
    async def tell(self, ctx: Context) -> None:
        seen = ctx.part(Seen)
        seen.texts.append(self.text)
        seen.changes.append(ctx.change)
        if self.text in seen.failing:
            raise ValueError("not now")


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)  # waits: for work beside requests, at most 2,000 times
    raise AssertionError("It did not happen within the deadline.")


def follower(world: World) -> int:
    """The kept position; 0 when there is none."""
    rows = world.app.store.reader.fetch_now("SELECT position FROM ramet_followers WHERE name = 'hooks'")
    return int(rows[0][0]) if rows else 0


async def test_each_change_is_told_in_order_after_its_commit(tmp_path: Path) -> None:
    seen = Seen()
    async with running(tmp_path / "data.db", [Letter], parts=[seen]) as world:
        letter = await world.create("/letters", A, text="a")
        await world.ask("PATCH", f"/letters/{letter['id']}", A, {"text": "b"})
        await world.ask("DELETE", f"/letters/{letter['id']}", A)
        refused = await world.ask("POST", "/letters", A, {"text": 1})
        assert refused.status == 422
        await until(lambda: len(seen.texts) >= 3)
        assert seen.texts == ["a", "b", "b"]
        assert seen.changes == sorted(set(seen.changes), key=int)


async def test_one_that_fails_is_tried_again_ever_later_while_others_go_on(tmp_path: Path) -> None:
    seen = Seen()
    seen.failing = {"bad"}
    async with running(tmp_path / "data.db", [Letter], parts=[seen]) as world:
        failures: list[int] = []
        world.app.observer.subscribe(HookFailed, lambda event: failures.append(event.attempt))
        await world.create("/letters", A, text="bad")
        await world.create("/letters", A, text="good")
        await until(lambda: follower(world) == world.app.feed.seq)
        await world.app._outbox.stop()  # from here on only this test tries again
        assert (failures, seen.texts) == ([1], ["bad", "good"])
        for attempt, wait in ((2, 1), (3, 2), (4, 4)):
            world.clock.forward(wait - 0.001)
            await world.app._outbox._retry()
            assert len(failures) == attempt - 1, "too early"
            world.clock.forward(0.002)
            await world.app._outbox._retry()
            assert len(failures) == attempt
        seen.failing.clear()
        world.clock.forward(10)
        await world.app._outbox._retry()
        assert len(set(seen.changes)) == 2, "a repetition has the identity of the first try"
        count = len(seen.texts)
        world.clock.forward(10_000)
        await world.app._outbox._retry()
        assert len(seen.texts) == count, "what has run through is not run again"


async def test_what_was_not_confirmed_is_told_after_a_restart_and_the_rest_is_not(tmp_path: Path) -> None:
    path, clock = tmp_path / "data.db", Clock()
    first, second = Seen(), Seen()
    first.failing = {"bad"}
    async with running(path, [Letter], clock, [first]) as world:
        for text in ("a", "bad"):
            await world.create("/letters", A, text=text)
        await until(lambda: first.texts == ["a", "bad"])
        await until(lambda: follower(world) == world.app.feed.seq)
        await world.app._outbox.stop()
        await world.create("/letters", A, text="unseen")
    clock.forward(5)
    async with running(path, [Letter], clock, [second]):
        await until(lambda: sorted(second.texts) == ["bad", "unseen"])


async def test_a_stop_is_heard_at_whatever_moment_after_a_change_it_comes(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Letter], parts=[Seen()]) as world:
        outbox = world.app._outbox
        for moment in range(8):
            await until(lambda: not outbox._awake.is_set())
            outbox._wake([])
            for _ in range(moment):
                await asyncio.sleep(0)
            async with asyncio.timeout(60):
                await outbox.stop()
            outbox.start()


async def test_one_process_of_two_runs_them_and_the_other_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    one, two = Seen(), Seen()
    async with running(path, [Letter], parts=[two]) as standby:
        assert await standby.app.store.lead("hooks")
        async with running(path, [Letter], parts=[one]) as world:
            await standby.app.identity.rotate_keys()
            await world.create("/letters", A, text="a")
            await until(lambda: two.texts == ["a"])
            assert one.texts == []
    async with running(path, [Letter], parts=[one]) as world:
        await world.create("/letters", A, text="b")
        await until(lambda: "b" in one.texts)
        assert two.texts == ["a"]


async def test_who_leads_again_goes_on_from_where_another_has_come(tmp_path: Path) -> None:
    seen = Seen()
    async with running(tmp_path / "data.db", [Letter], parts=[seen]) as world:
        await world.create("/letters", A, text="a")
        await until(lambda: follower(world) == world.app.feed.seq)
        before = str(follower(world))
        await world.app._outbox.stop()
        await world.create("/letters", A, text="run by another")
        await world.app._outbox._keep(before, str(world.app.feed.seq), [])
        world.app._outbox.start()
        await world.create("/letters", A, text="b")
        await until(lambda: seen.texts == ["a", "b"])


async def test_who_does_not_lead_any_more_runs_none_and_keeps_no_place(tmp_path: Path) -> None:
    seen = Seen()
    async with running(tmp_path / "data.db", [Letter], parts=[seen]) as world:
        await world.create("/letters", A, text="a")
        await until(lambda: follower(world) == world.app.feed.seq)
        await world.app._outbox.stop()
        kept = follower(world)
        for text in ("b", "c"):
            await world.create("/letters", A, text=text)

        async def lead(name: str) -> bool:
            return "b" not in seen.texts

        store: Any = world.app.store
        store.lead = lead
        await world.app._outbox._advance()
        assert (seen.texts, follower(world)) == (["a", "b"], kept)
        aside = outbox.Aside("1.0", 0, 1, (await store.changes.page(str(kept), 1))[0][0])
        await world.app._outbox._keep(str(kept), str(kept + 1), [aside])
        with pytest.raises(Problem, match="Another process has led meanwhile"):
            await world.app._outbox._keep(str(kept), str(kept + 2), [])
        await world.app._outbox._keep(str(kept + 1), str(kept + 2), [aside])
        assert follower(world) == kept + 2


async def test_who_leads_goes_on_to_while_a_hook_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RETRY", (0.01, 3_600.0))
    gate = asyncio.Event()

    class Slow(Resource):
        text: str
        access = owner_only()

        @after("create")
        async def tell(self, ctx: Context) -> None:
            await gate.wait()

    async with running(tmp_path / "data.db", [Slow]) as world:
        store: Any = world.app.store
        asked, lead = [], store.lead

        async def counted(name: str) -> bool:
            asked.append(name)
            return bool(await lead(name))

        await world.create("/slows", A, text="a")
        await until(lambda: store.lead is not None and bool(world.app._outbox._task))
        store.lead = counted
        await until(lambda: len(asked) >= 5)
        asked.clear()
        await until(lambda: len(asked) >= 5)
        gate.set()
        await until(lambda: follower(world) == world.app.feed.seq)


async def test_the_log_is_kept_for_hooks_that_have_not_run_and_trimmed_when_they_have(tmp_path: Path) -> None:
    seen = Seen()
    async with running(tmp_path / "data.db", [Letter], parts=[seen]) as world:
        await world.create("/letters", A, text="a")
        await until(lambda: follower(world) == world.app.feed.seq)
        await world.app._outbox.stop()
        await world.create("/letters", A, text="b")
        kept = follower(world)
        world.clock.forward(world.app.settings.changes_retention + 1)
        await world.app._chores.tidy()
        rows = world.app.store.changes.after(0, 100)
        assert [row.seq for row in rows] == list(range(kept + 1, world.app.feed.seq + 1))
        assert world.app.store.changes.head() == world.app.feed.seq


async def test_a_log_that_no_hook_follows_any_more_is_trimmed(tmp_path: Path) -> None:
    """Hooks that were taken out of the application hold nothing back."""
    path, clock, seen = tmp_path / "data.db", Clock(), Seen()
    async with running(path, [Letter], clock, [seen]) as world:
        await world.create("/letters", A, text="a")
        await until(lambda: follower(world) > 0)

    class Plain(Resource):
        text: str
        path = "letters"
        access = owner_only()

    async with running(path, [Plain], clock) as world:
        await world.create("/letters", A, text="b")
        clock.forward(world.app.settings.changes_retention + 1)
        await world.app._chores.tidy()
        assert world.app.store.changes.after(0, 100) == []
