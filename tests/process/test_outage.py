"""The primary is down, or does not answer: who is still answered, with what, and for how long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest

from ramet.identity.sessions import Session
from tests.process import copies
from tests.process.copies import A, Pair, healthy, until
from tests.scenarios.core_world import Answer, World

PATHS = ("kept", "plain")
FAR = datetime(2030, 1, 1, tzinfo=UTC)
STALENESS = 2.5
"""Seconds: to prove an outage takes a part of one, or one on a busy machine; the rest is the lag of the replica."""
BOUND = STALENESS + 0.5


@pytest.fixture
def pair() -> Iterator[Pair]:
    found = Pair()
    try:
        yield found
    finally:
        found.remove()


def instance(pair: Pair, **more: Any) -> AbstractAsyncContextManager[World]:
    return copies.instance(pair, max_staleness=STALENESS, **more)


@asynccontextmanager
async def down(pair: Pair, world: World) -> AsyncIterator[None]:
    """The primary has been killed, for longer than the bound of staleness."""
    await asyncio.to_thread(pair.primary.stop, "immediate")
    began = time.monotonic()
    try:
        await until(lambda: time.monotonic() - began > 2 * BOUND and world.app.store.outage.quiet)
        yield
    finally:
        await asyncio.to_thread(pair.primary.start)


@contextmanager
def silent(pair: Pair) -> Iterator[None]:
    """The processes of the primary stand still: its host takes connections and says nothing."""
    os.kill(pair.primary.processes()[0], signal.SIGSTOP)  # from here on it begins no more of them
    stopped = pair.primary.processes()
    for process in stopped:
        with suppress(ProcessLookupError):  # one that has just ended
            os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


async def prepared(world: World) -> dict[str, Answer]:
    """A record of each kind, which the replica has; the answers to its creation."""
    await until(lambda: healthy(world))
    made = {path: await world.ask("POST", f"/{path}", A, {"title": "here"}) for path in PATHS}
    now = time.monotonic()
    await until(lambda: world.app.store.replicas.all[0].confirmed > now)
    return made


def refused(answer: Answer) -> bool:
    return answer.status == 503 and answer.code == "unavailable" and int(answer.headers["retry-after"]) >= 1


async def test_reads_go_on_from_a_replica_that_has_all_and_changes_are_refused(pair: Pair) -> None:
    async with instance(pair) as world:
        made = await prepared(world)
        async with down(pair, world):
            for path in PATHS:
                number = made[path].json["id"]
                asked = (f"/{path}/{number}", f"/{path}?sort=id", f"/{path}?sort=id&count=exact")
                for target in asked:
                    answer = await world.ask("GET", target, A)
                    assert (answer.status, b"here" in answer.body) == (200, True), target
                position = {"ramet-position": made[path].headers["ramet-position"]}
                assert (await world.ask("GET", asked[0], A, headers=position)).status == 200
                for method, target in (("POST", f"/{path}"), ("PATCH", asked[0]), ("DELETE", asked[0])):
                    body = None if method == "DELETE" else {"title": "no"}
                    assert refused(await world.ask(method, target, A, body, allow_failure=True)), method
            status, document = await world.app.watch.health.ready()
            parts = {part["name"]: part for part in document["parts"]}
            assert (status, document["status"]) == (200, "degraded")
            assert (parts["database"]["ok"], parts["change log"]["ok"], parts["replica 1"]["ok"]) == (False, True, True)
        await until(lambda: not world.app.store.outage.down and healthy(world))
        for path in PATHS:
            assert (await world.ask("POST", f"/{path}", A, {"title": "again"})).status == 201
        assert (await world.app.watch.health.ready())[1]["status"] == "ready"


async def test_what_the_replica_never_got_is_refused_to_who_has_seen_it_and_kept_from_no_cache(pair: Pair) -> None:
    async with copies.instance(pair, max_staleness=4 * STALENESS) as world:
        made = await prepared(world)
        await asyncio.to_thread(pair.pause)
        late = {path: await world.ask("POST", f"/{path}", A, {"title": "late"}) for path in PATHS}
        async with down(pair, world):
            for path in PATHS:
                position = {"ramet-position": late[path].headers["ramet-position"]}
                number = made[path].json["id"]
                answer = await world.ask("GET", f"/{path}/{number}", A, headers=position, allow_failure=True)
                assert refused(answer)
                assert (await world.ask("GET", f"/{path}/{number}", A)).status == 200, "it was in step within the bound"
                assert refused(await world.ask("GET", f"/{path}?sort=id", A, headers=position, allow_failure=True)), (
                    "what was read for another must not be given to a caller with a position"
                )


async def test_a_replica_that_was_behind_when_the_primary_went_down_answers_once_it_has_caught_up(pair: Pair) -> None:
    async with instance(pair) as world:
        await prepared(world)
        pair.pause()
        answer = await world.ask("POST", "/plain", A, {"title": "late"})
        await until(lambda: not healthy(world))
        async with down(pair, world):
            assert refused(await world.ask("GET", "/plain?sort=id", A, allow_failure=True))
            assert (await world.app.watch.health.ready())[0] == 503
            pair.resume()
            await until(lambda: healthy(world))
            assert b"late" in (await world.ask("GET", "/plain?sort=id", A)).body
            assert (await world.ask("GET", f"/plain/{answer.json['id']}", A)).status == 200


async def test_reads_end_when_the_outage_has_lasted_as_long_as_they_may_go_on(pair: Pair) -> None:
    async with instance(pair, outage_reads=4 * BOUND) as world:
        await prepared(world)
        async with down(pair, world):
            await until(lambda: not healthy(world))
            for path in PATHS:
                assert refused(await world.ask("GET", f"/{path}?sort=id", A, allow_failure=True))
            assert (await world.app.watch.health.ready())[0] == 503
        await until(lambda: healthy(world))
        assert (await world.ask("GET", "/plain?sort=id", A)).status == 200


async def test_a_primary_that_only_does_not_answer_may_serve_others_and_its_replica_is_left_out(pair: Pair) -> None:
    async with instance(pair, database_wait=STALENESS) as world:
        made = await prepared(world)
        with silent(pair):
            began = time.monotonic()
            await until(lambda: not healthy(world))
            assert time.monotonic() - began > STALENESS / 2
            await until(lambda: not world.app.feed.sync())
            for path in PATHS:
                answer = await world.ask("GET", f"/{path}/{made[path].json['id']}", A, allow_failure=True)
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) >= 1
            assert not world.app.store.outage.down
            assert (await world.app.watch.health.ready())[0] == 503
        await until(lambda: healthy(world) and world.app.feed.sync())
        assert (await world.ask("POST", "/plain", A, {"title": "again"})).status == 201


async def test_a_session_that_is_ended_elsewhere_ends_on_an_instance_that_cannot_read_the_log(pair: Pair) -> None:
    async with instance(pair) as cut_off, instance(pair) as other:
        await prepared(cut_off)
        made = await other.app.create_user("a@example.com", "correct horse battery")
        session = await other.app.as_system().create(Session(user=made.id, expires_at=FAR))
        now = other.app.clock() / 1e6
        token = other.app.identity.tokens.mint(user=made.id, session=session.id, roles=(), now=now)
        sent = {"authorization": f"Bearer {token}"}
        assert (await cut_off.ask("GET", "/plain?sort=id", headers=sent)).status == 200

        async def fails(*_: object) -> NoReturn:
            raise OSError("no")

        changes: Any = cut_off.app.store.changes
        changes.poll = fails
        await until(lambda: not cut_off.app.feed.sync())
        assert (await cut_off.ask("GET", "/plain?sort=id", headers=sent)).status == 200, "reads go on from the replica"
        await other.app.as_system().delete(session)
        for _ in range(2_000):
            answer = await cut_off.ask("GET", "/plain?sort=id", headers=sent)
            if answer.status != 200:
                break
            await asyncio.sleep(0.01)  # waits: for the replica to tell, at most 2,000 times
        assert (answer.status, answer.code) == (401, "session_ended")
