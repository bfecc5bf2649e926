"""A subscriber is told what it may read, when it may read it, and nothing else; what it missed, or to read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ramet.observe import StatementRun
from ramet.testing import Caller, Client, Event
from tests.scenarios.realtime_world import SECRET, running
from tests.test_divergence import caught_up, missed


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(tmp_path) as client:
        yield client


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.data.get("record_id", "")) for event in events]


async def made(caller: Caller, path: str, **values: Any) -> str:
    record: str = (await caller.post(path, values)).ok()["id"]
    return record


async def test_an_owner_is_told_of_each_change_as_rest_shows_it(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    async with ada.watch("tasks") as events:
        assert (await events.next()).kind == "ready"
        task = await made(ada, "tasks", title="one")
        await made(bob, "tasks", title="not ada's")
        created = await events.next()
        assert (created.kind, created.record) == ("created", (await ada.get(f"tasks/{task}")).json)
        await ada.patch(f"tasks/{task}", {"title": "two"})
        assert (await events.next()).record == (await ada.get(f"tasks/{task}")).json
        await ada.delete(f"tasks/{task}")
        (gone,) = await events.rest()
        assert (gone.kind, gone.data["record_id"], "record" in gone.data) == ("deleted", task, False)


async def test_refusals_are_those_of_lists(client: Client) -> None:
    ada = await client.sign_up("ada")
    nobody = "00000000-0000-7000-8000-000000000000"
    cases = [
        (client, "resource=tasks", 401, "unauthenticated"),
        (ada, "resource=nothing", 400, "invalid_query"),
        (ada, "", 400, "invalid_query"),
        (ada, "resource=tasks&colour=red", 400, "invalid_query"),
        (ada, "resource=tasks&token=x", 400, "invalid_query"),
        (ada, "resource=pages&salary=1", 400, "invalid_query"),
        (ada, "resource=tasks&limit=5", 400, "invalid_query"),
        (ada, "resource=tasks&q=a", 400, "invalid_query"),
        (ada, "resource=tasks&wait=-1", 400, "invalid_query"),
        (ada, "resource=veileds", 400, "invalid_query"),
        (ada, f"resource=tasks&id={nobody}", 404, "not_found"),
    ]
    for caller, query, status, code in cases:
        answer = await caller.get(f"events?{query}")
        assert (answer.status, answer.code) == (status, code), query
    assert (await ada.get("events?resource=tasks", accept="application/json")).status == 406
    assert (await ada.post("events", {})).status == 405


async def test_a_stream_that_is_refused_takes_no_place(tmp_path: Path) -> None:
    async with running(tmp_path, stream_limit_caller=1) as client:
        ada = await client.sign_up("ada")
        assert (await ada.get("events?resource=tasks&colour=red")).status == 400
        async with ada.watch("tasks"):
            refused = await ada.get("events?resource=tasks")
            assert (refused.status, refused.code) == (429, "rate_limited")
        async with ada.watch("tasks") as events:
            assert (await events.next()).kind == "ready"


async def test_places_are_bounded_for_an_address_and_for_the_process(tmp_path: Path) -> None:
    async with running(tmp_path, stream_limit_address=1) as client, client.watch("notices"):
        assert (await client.get("events?resource=notices")).code == "rate_limited"
    async with running(tmp_path, stream_limit=1) as client, client.watch("notices"):
        refused = await client.get("events?resource=notices")
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "overloaded", "5")


async def test_filters_decide_what_comes_into_view_and_leaves_it(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with ada.watch("tasks", {"status": "pending"}) as events:
        await events.rest()
        task = await made(ada, "tasks")
        done = await made(ada, "tasks", status="done")
        await ada.patch(f"tasks/{done}", {"title": "still done"})
        assert told(await events.rest()) == [("created", task)]
        await ada.patch(f"tasks/{task}", {"status": "done"})
        await ada.patch(f"tasks/{task}", {"title": "out of sight"})
        assert told(await events.rest()) == [("deleted", task)]
        await ada.patch(f"tasks/{task}", {"status": "pending"})
        assert told(await events.rest()) == [("created", task)]
        await ada.delete(f"tasks/{done}")
        assert await events.rest() == []


async def test_a_rule_decides_what_comes_into_view_and_leaves_it(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    async with bob.watch("pages") as events:
        await events.rest()
        page = await made(ada, "pages")
        await ada.patch(f"pages/{page}", {"text": "draft"})
        assert await events.rest() == [], "a record that was never bob's to read is not told of, not even its id"
        await ada.patch(f"pages/{page}", {"published": True})
        (entered,) = await events.rest()
        assert (entered.kind, entered.record) == ("created", (await bob.get(f"pages/{page}")).json)
        assert entered.record["salary"] is None
        await ada.patch(f"pages/{page}", {"text": "news"})
        assert [event.kind for event in await events.rest()] == ["updated"]
        await ada.patch(f"pages/{page}", {"published": False, "text": "private"})
        (left,) = await events.rest()
        assert (left.kind, "record" in left.data) == ("deleted", False)
        await ada.patch(f"pages/{page}", {"text": "more private"})
        await ada.delete(f"pages/{page}")
        assert await events.rest() == []


async def test_hidden_and_masked_fields_stay_so(client: Client) -> None:
    ada, hr = await client.sign_up("ada"), await client.sign_up("hr", roles=["hr"])
    async with ada.watch("pages") as own, hr.watch("pages") as all_seen, client.watch("pages") as stranger:
        for events in (own, all_seen, stranger):
            await events.rest()
        await made(ada, "pages", published=True)
        assert [(await events.rest())[0].record.get("salary") for events in (own, all_seen)] == [SECRET, SECRET]
        (seen,) = await stranger.rest()
        assert "salary" not in seen.record
    async with ada.watch("tasks") as events:
        await events.rest()
        await made(ada, "tasks")
        assert "token" not in (await events.rest())[0].record


async def test_a_choice_of_fields(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with ada.watch("tasks", {"fields": "title,id"}) as events:
        await events.rest()
        task = await made(ada, "tasks", title="short")
        assert (await events.rest())[0].record == {"title": "short", "id": task}


async def test_one_record(client: Client) -> None:
    ada = await client.sign_up("ada")
    first, second = await made(ada, "tasks"), await made(ada, "tasks")
    async with ada.watch("tasks", {"id": first}) as events:
        await events.rest()
        await ada.patch(f"tasks/{second}", {"title": "other"})
        await ada.patch(f"tasks/{first}", {"title": "this"})
        await ada.delete(f"tasks/{first}")
        assert told(await events.rest()) == [("updated", first), ("deleted", first)]


async def test_a_rule_that_looks_into_other_records(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    team = await made(ada, "teams")
    async with bob.watch("plans") as events:
        await events.rest()
        plan = await made(ada, "plans", team=team)
        assert await events.rest() == []
        await made(ada, "members", team=team, user="somebody else")
        assert await events.rest() == [], "what concerns other people's membership changes nothing for bob"
        member = await made(ada, "members", team=team, user=bob.id)
        assert told(await events.rest()) == [("reload", "")]
        await ada.patch(f"plans/{plan}", {"text": "new"})
        (seen,) = await events.rest()
        assert (seen.kind, seen.record) == ("updated", (await bob.get(f"plans/{plan}")).json)
        assert seen.record["budget"] == SECRET
        await ada.patch(f"members/{member}", {"user": "somebody else"})
        assert told(await events.rest()) == [("reload", "")]
        await ada.patch(f"plans/{plan}", {"text": "secret again"})
        assert await events.rest() == []


async def test_the_database_is_asked_once_for_all_callers(client: Client) -> None:
    ada = await client.sign_up("ada")
    people = [await client.sign_up(f"p{number}") for number in range(9)]
    team = await made(ada, "teams")
    plan = await made(ada, "plans", team=team)
    for one in people[:5]:
        await made(ada, "members", team=team, user=one.id)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(one.watch("plans")) for one in people]
        for events in streams:
            await events.rest()
        statements: list[str] = []
        client.app.observer.subscribe(StatementRun, lambda run: statements.append(run.sql))
        await ada.patch(f"plans/{plan}", {"text": "new"})
        heard = [await events.rest() for events in streams]
        assert [len(events) for events in heard] == [1] * 5 + [0] * 4
        # one of the rule and the one field that has the same, as callers who are not its owner see it
        assert len([sql for sql in statements if "UNION ALL" in sql]) == 1


async def test_what_was_missed_is_told_once_and_in_its_last_form(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    gone = await made(ada, "tasks")
    async with ada.watch("tasks") as events:
        await events.rest()
        mark = events.last
    task = await made(ada, "tasks", title="one")
    await ada.patch(f"tasks/{task}", {"title": "two"})
    await ada.delete(f"tasks/{gone}")
    await made(bob, "tasks")
    async with ada.watch("tasks", last_event_id=mark) as events:
        created, deleted, ready = await events.rest()
        assert (created.kind, created.record["title"]) == ("created", "two")
        assert (deleted.kind, deleted.data["record_id"], ready.kind) == ("deleted", gone, "ready")
        await ada.patch(f"tasks/{task}", {"title": "three"})
        assert [event.kind for event in await events.rest()] == ["updated"]
    async with ada.watch("tasks", {"last_event_id": deleted.id}) as events:
        (updated, _) = await events.rest()
        assert updated.record["title"] == "three"


async def test_what_was_readable_meanwhile_is_not_told(client: Client) -> None:
    ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
    page = await made(ada, "pages")
    async with bob.watch("pages") as events:
        await events.rest()
        mark = events.last
    await ada.patch(f"pages/{page}", {"published": True, "text": "for a moment"})
    await ada.patch(f"pages/{page}", {"published": False})
    async with bob.watch("pages", last_event_id=mark) as events:
        assert told(await events.rest()) == [("deleted", page), ("ready", "")]


@pytest.mark.parametrize("mark", ["nonsense", "00000000-1", "{incarnation}-999999", "x" * 500])
async def test_an_unknown_mark_is_one_reload(client: Client, mark: str) -> None:
    ada = await client.sign_up("ada")
    await made(ada, "tasks")
    await caught_up(client.app)
    unknown = mark.format(incarnation=client.app.store.incarnation)
    async with ada.watch("tasks", last_event_id=unknown) as events:
        (reload,) = await events.rest()
        assert (reload.kind, reload.data["reason"]) == ("reload", "expired")
        task = await made(ada, "tasks")
        assert told(await events.rest()) == [("created", task)]
    async with ada.watch("tasks", last_event_id=reload.id) as events:
        assert told(await events.rest()) == [("created", task), ("ready", "")]


async def test_a_mark_that_is_too_old_is_one_reload(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with ada.watch("tasks") as events:
        await events.rest()
        mark = events.last
    await made(ada, "tasks")
    client.clock.advance(days=2)
    await client.app._chores.tidy()
    await caught_up(client.app)  # which takes the leap of the clock for missed rows, before anybody subscribes
    ada = await client.sign_in("ada@example.com")
    async with ada.watch("tasks", last_event_id=mark) as events:
        assert [event.kind for event in await events.rest()] == ["reload"]


async def test_a_session_that_is_revoked_hears_of_it_and_of_nothing_else(client: Client) -> None:
    ada = await client.sign_up("ada")
    other = await client.sign_in("ada@example.com")
    async with ada.watch("tasks") as ended, other.watch("tasks") as goes_on:
        await ended.rest(), await goes_on.rest()
        assert (await ada.post("auth/sign-out", {})).status == 204
        await made(other, "tasks")
        (end,) = await ended.rest()
        assert (end.kind, end.data["reason"]) == ("end", "session_ended")
        assert [event.kind for event in await goes_on.rest()] == ["created"]


async def test_changed_roles_end_a_stream(client: Client) -> None:
    admin, ada = await client.sign_up("admin", roles=["admin"]), await client.sign_up("ada")
    async with ada.watch("tasks") as events:
        await events.rest()
        client.clock.advance(seconds=1)
        (await admin.patch(f"users/{ada.id}", {"roles": ["admin"]})).ok()
        (end,) = await events.rest()
        assert (end.kind, end.data["reason"]) == ("end", "invalid_token")


async def test_a_stream_ends_when_its_token_expires(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with ada.watch("tasks") as events:
        await events.rest()
        client.clock.advance(hours=1)
        end = await events.next()
        assert (end.kind, end.data["reason"]) == ("end", "invalid_token")


async def test_an_expired_token_hears_nothing_even_before_it_is_told_so(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with ada.watch("tasks") as events:
        await events.rest()
        client.clock.advance(hours=1)
        ada = await client.sign_in("ada@example.com")
        await made(ada, "tasks")
        assert [event.kind for event in await events.rest()] == ["end"]


async def test_those_who_see_the_same_share_a_view(client: Client) -> None:
    ada = await client.sign_up("ada")
    hub = client.app.handlers.watching.hub
    async with client.watch("notices") as first, client.watch("notices") as second, ada.watch("notices") as third:
        for events in (first, second, third):
            await events.rest()
        assert hub.views == 1
        await made(ada, "notices")
        bodies = [[event.data for event in await events.rest()] for events in (first, second, third)]
        assert bodies[0] == bodies[1] == bodies[2]
    assert hub.views == 0


async def test_changes_that_were_missed_are_one_reload(client: Client) -> None:
    ada = await client.sign_up("ada")
    async with ada.watch("tasks") as events:
        await events.rest()
        await missed(client.app)
        await missed(client.app)
        await asyncio.sleep(0)
        assert {event.data["reason"] for event in await events.rest()} == {"missed"}


async def test_a_waiting_time_and_the_end_of_the_application(client: Client) -> None:
    ada = await client.sign_up("ada")
    answer = await ada.get("events", {"resource": "tasks", "wait": 0})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.body.decode().rstrip().endswith('data: {"kind":"end","reason":"finished"}')
    async with ada.watch("tasks", {"wait": 1}) as events:
        assert (await events.next()).kind == "ready"
        assert (await events.next()).data["reason"] == "finished"
    async with ada.watch("tasks") as events:
        await events.rest()
        await client.app.drain()
        (end,) = await events.rest()
        assert (end.kind, end.data["reason"]) == ("end", "shutdown")
        assert (await ada.get("events?resource=tasks")).code == "unavailable"


async def test_a_head_request_begins_nothing(client: Client) -> None:
    answer = await client.request("HEAD", "events", query={"resource": "notices"})
    assert (answer.status, answer.body) == (200, b"")
    assert len(client.app.realtime.streams) == 0
