"""Sessions over HTTP: listing and ending them, and refresh tokens under concurrency, replay and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ramet.identity.passwords import Passwords
from ramet.identity.sessions import MOST, Session, forget_expired
from ramet.identity.tokens import new_refresh_token, successor
from ramet.identity.users import User
from ramet.operations.context import Context

from ..conftest import Scale
from .identity_world import OTHER, PASSWORD, World, running

CALLERS = 50


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as world:
        yield world


async def test_callers_list_their_own_sessions_and_nothing_secret_of_them(world: World) -> None:
    first = await world.join()
    world.clock.forward(60)
    second = await world.sign_in("ann@example.org")
    await world.join("bob@example.org")
    answer = await world.ask("GET", "/sessions", first["access_token"])
    items = answer.json()["items"]
    assert [item["id"] for item in items] == [second["session"], first["session"]]
    assert set(items[0]) == {
        *("id", "owner", "created_at", "updated_at", "version"),
        *("user", "agent", "address", "last_used_at", "expires_at", "ended_at", "end_reason"),
    }
    assert items[0]["user"] == items[0]["owner"] == first["user"]["id"]
    assert items[0]["agent"].startswith("python-httpx")
    assert items[0]["address"] == "127.0.0.1"
    assert "rt_" not in answer.text
    for field in ("family", "refresh_hash", "generation", "rotated"):
        assert (await world.ask("GET", f"/sessions?sort={field}", first["access_token"])).status_code == 400
    for method in ("POST", "PATCH", "PUT"):
        path = "/sessions" if method == "POST" else f"/sessions/{first['session']}"
        assert (await world.ask(method, path, first["access_token"], json={})).status_code == 405


async def test_deleting_a_session_ends_it_at_once(world: World) -> None:
    here, there = await world.join(), await world.sign_in("ann@example.org")
    bob = await world.join("bob@example.org")
    path = f"/sessions/{there['session']}"
    assert (await world.ask("DELETE", path, bob["access_token"])).json()["code"] == "not_found"
    assert await world.code(there["access_token"]) == "ok"
    assert (await world.ask("DELETE", path, here["access_token"])).status_code == 204
    assert await world.code(there["access_token"]) == "session_ended"
    assert (await world.refresh(there["refresh_token"])).json()["code"] == "session_ended"
    assert await world.code(here["access_token"]) == "ok"
    assert world.revoked == [(there["session"], "sign_out")]
    assert (await world.ask("DELETE", f"/sessions/{here['session']}", await world.admin())).status_code == 204
    assert await world.code(here["access_token"]) == "session_ended"
    assert world.revoked[1:] == [(here["session"], "administrator")]


async def test_signing_out_ends_one_session_and_may_be_repeated(world: World) -> None:
    here, there = await world.join(), await world.sign_in("ann@example.org")
    assert (await world.post("/auth/sign-out", here["access_token"])).status_code == 204
    assert await world.code(here["access_token"]) == "session_ended"
    assert (await world.refresh(here["refresh_token"])).json()["code"] == "session_ended"
    assert await world.code(there["access_token"]) == "ok"
    for _ in range(2):
        assert (await world.post("/auth/sign-out", refresh_token=there["refresh_token"])).status_code == 204
    assert await world.code(there["access_token"]) == "session_ended"
    for token in ("", "nothing", "rt_" + "A" * 80):
        assert (await world.post("/auth/sign-out", refresh_token=token)).status_code in (204, 422)
    assert (await world.post("/auth/sign-out")).status_code == 204
    assert world.revoked == [(here["session"], "sign_out"), (there["session"], "sign_out")]


async def test_signing_out_everywhere_ends_all_sessions_of_the_caller_alone(world: World) -> None:
    mine = [await world.join(), *[await world.sign_in("ann@example.org") for _ in range(3)]]
    bob = await world.join("bob@example.org")
    assert (await world.post("/auth/sign-out-everywhere")).json()["code"] == "unauthenticated"
    assert (await world.post("/auth/sign-out-everywhere", mine[2]["access_token"])).status_code == 204
    for session in mine:
        assert await world.code(session["access_token"]) == "session_ended"
        assert (await world.refresh(session["refresh_token"])).json()["code"] == "session_ended"
    assert await world.code(bob["access_token"]) == "ok"
    assert sorted(world.revoked) == sorted((session["session"], "everywhere") for session in mine)
    again = await world.sign_in("ann@example.org")
    items = (await world.ask("GET", "/sessions?ended_at[is]=null", again["access_token"])).json()["items"]
    assert [item["id"] for item in items] == [again["session"]]


async def test_a_refresh_gives_a_new_pair_and_keeps_the_session(world: World) -> None:
    ann = await world.join()
    world.clock.forward(1_000)
    assert await world.code(ann["access_token"]) == "invalid_token"
    answer = await world.refresh(ann["refresh_token"])
    new = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert set(new) == set(ann)
    assert new["session"] == ann["session"]
    assert new["user"] == ann["user"]
    assert new["refresh_token"] != ann["refresh_token"]
    assert await world.code(new["access_token"]) == "ok"
    item = (await world.ask("GET", f"/sessions/{ann['session']}", new["access_token"])).json()
    assert item["last_used_at"] == item["updated_at"] > item["created_at"]


@pytest.mark.soak
async def test_concurrent_refreshes_rotate_once_and_sign_nobody_out(world: World, scale: Scale) -> None:
    ann = await world.join()
    token = ann["refresh_token"]
    for place in range(1, scale(short=20, full=1_000) + 1):
        answers = await asyncio.gather(*[world.refresh(token) for _ in range(CALLERS)])
        assert {answer.status_code for answer in answers} == {200}
        following = {answer.json()["refresh_token"] for answer in answers}
        assert len(following) == 1
        assert following != {token}
        (token,) = following
        session = await world.app.as_system().get(Session, ann["session"])
        assert session.generation == place
        assert session.version == place + 1
        world.clock.forward(0.01)
    assert await world.code(answers[-1].json()["access_token"]) == "ok"
    assert world.revoked == world.refused == []


async def test_a_used_token_gives_its_successor_within_the_grace_and_ends_the_session_after(world: World) -> None:
    ann = await world.join()
    bob = await world.join("bob@example.org")
    first = ann["refresh_token"]
    second = (await world.refresh(first)).json()
    world.clock.forward(9.99)
    assert (await world.refresh(first)).json()["refresh_token"] == second["refresh_token"]
    world.clock.forward(0.01)
    assert world.revoked == []
    assert (await world.refresh(first)).json()["code"] == "session_ended"
    assert world.revoked == [(ann["session"], "replay")]
    assert world.refused == ["replay"]
    for access in (ann["access_token"], second["access_token"]):
        assert await world.code(access) == "session_ended"
    for refresh in (first, second["refresh_token"]):
        assert (await world.refresh(refresh)).json()["code"] == "session_ended"
    assert len(world.revoked) == 1
    assert await world.code(bob["access_token"]) == "ok"


async def test_a_token_used_long_ago_ends_the_session_too(world: World) -> None:
    ann = await world.join()
    token = ann["refresh_token"]
    for _ in range(5):
        world.clock.forward(100)
        token = (await world.refresh(token)).json()["refresh_token"]
    assert (await world.refresh(ann["refresh_token"])).json()["code"] == "session_ended"
    assert (await world.refresh(token)).json()["code"] == "session_ended"
    assert world.revoked == [(ann["session"], "replay")]


async def test_who_comes_late_within_the_grace_gets_the_newest_token_of_the_line(world: World) -> None:
    ann = await world.join()
    line = [ann["refresh_token"]]
    for _ in range(4):
        world.clock.forward(2)
        line.append((await world.refresh(line[-1])).json()["refresh_token"])
    for token in line[:-1]:
        assert (await world.refresh(token)).json()["refresh_token"] == line[-1]
    world.clock.forward(3)
    assert (await world.refresh(line[0])).status_code == 200
    assert world.revoked == []
    world.clock.forward(1)
    assert (await world.refresh(line[0])).json()["code"] == "session_ended"
    assert world.revoked == [(ann["session"], "replay")]


async def test_nobody_ends_a_session_by_making_tokens_up(world: World) -> None:
    ann = await world.join()
    token = ann["refresh_token"]
    for _ in range(2):
        world.clock.forward(100)
        token = (await world.refresh(token)).json()["refresh_token"]
    session = await world.app.as_system().get(Session, ann["session"])
    made_up = new_refresh_token(b"x" * 32, session.family)
    for forged in (made_up, successor(made_up, b"x" * 32), successor(token, b"x" * 32), token[:-1] + "!"):
        assert (await world.refresh(forged)).json()["code"] == "session_ended"
    assert (await world.refresh(token)).status_code == 200
    assert world.revoked == []
    assert set(world.refused) == {"unknown_refresh_token"}


async def test_what_is_no_refresh_token_is_refused(world: World) -> None:
    ann = await world.join()
    for token in (ann["access_token"][:200], "x", "rt_", "rt_" + "é" * 80, "rt_" + "A" * 80):
        assert (await world.refresh(token)).json()["code"] == "session_ended"
    for token in ("", "x" * 201, 7, ["x"], "nul \u0000"):
        assert (await world.post("/auth/refresh", refresh_token=token)).status_code == 422
    for body in ({}, {"refresh_token": None}):
        assert (await world.ask("POST", "/auth/refresh", json=body)).json()["code"] == "unauthenticated"
    assert await world.code(ann["refresh_token"]) == "invalid_token"


async def test_a_session_that_is_not_refreshed_expires(tmp_path: Path) -> None:
    async with running(tmp_path, refresh_token_ttl=3_600) as world:
        ann, idle = await world.join(), await world.sign_in("ann@example.org")
        world.clock.forward(3_599)
        ann = (await world.refresh(ann["refresh_token"])).json()
        world.clock.forward(3_599)
        assert (await world.refresh(idle["refresh_token"])).json()["code"] == "session_ended"
        ann = (await world.refresh(ann["refresh_token"])).json()
        assert len((await world.ask("GET", "/sessions", ann["access_token"])).json()["items"]) == 2
        await world.app.identity.tidy()
        assert len((await world.ask("GET", "/sessions", ann["access_token"])).json()["items"]) == 1
        assert await world.code(ann["access_token"]) == "ok"
        assert world.revoked == []


async def test_a_user_has_a_bounded_number_of_sessions(world: World) -> None:
    sessions = [await world.join()]
    for _ in range(MOST - 1):
        world.clock.forward(0.1)
        sessions.append(await world.sign_in("ann@example.org"))
    first = (await world.refresh(sessions[0]["refresh_token"])).json()
    world.clock.forward(0.1)
    last = await world.sign_in("ann@example.org")
    assert await world.app.as_system().count(Session) == MOST
    assert await world.code(first["access_token"]) == "ok"
    assert await world.code(sessions[1]["access_token"]) == "session_ended"
    assert await world.code(sessions[2]["access_token"]) == "ok"
    assert await world.code(last["access_token"]) == "ok"


@pytest.mark.parametrize("change", ["disabled", "password", "deleted"])
async def test_a_sign_in_is_decided_by_what_is_stored_when_it_ends(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The account changes while its password, which was right, is being checked."""
    await world.join()
    passwords, system = world.app.identity.passwords, world.app.as_system()
    verify = Passwords.verify

    async def verify_slowly(of: Passwords, known: str | None, password: str) -> bool:
        right = await verify(of, known, password)
        (user,) = await system.list(User)
        if change == "deleted":
            await system.delete(user)
        elif change == "disabled":
            await system.update(user, disabled=True)
        else:
            await system.update(user, password_hash=await passwords.hash(OTHER))
        return right

    monkeypatch.setattr(Passwords, "verify", verify_slowly)
    before = await system.count(Session)
    answer = await world.post("/auth/sign-in", email="ann@example.org", password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert await system.count(Session) <= before
    assert await system.count(Session, ended_at=None) == (1 if change == "password" else 0)


async def test_an_expired_access_token_does_not_stand_in_the_way_of_refreshing(world: World) -> None:
    ann = await world.join()
    world.clock.forward(3_600)
    assert await world.code(ann["access_token"]) == "invalid_token"
    renewed = await world.post("/auth/refresh", ann["access_token"], refresh_token=ann["refresh_token"])
    assert renewed.status_code == 200
    assert await world.code(renewed.json()["access_token"]) == "ok"
    refused = await world.post("/auth/change-password", ann["access_token"], current_password="x", new_password="y")
    assert refused.json()["code"] == "invalid_token"


async def test_one_that_is_refreshed_while_it_counts_as_expired_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of whoever forgets sessions may be ahead of that of who refreshes them."""
    ann = await world.join()
    (session,) = await world.app.as_system().list(Session)
    world.clock.forward((session.expires_at - session.created_at).total_seconds() - 0.001)
    look, refreshed = Context.list, []

    async def ahead(ctx: Context, resource: Any, **given: Any) -> Any:
        if "expires_at__lt" not in given:
            return await look(ctx, resource, **given)
        given["expires_at__lt"] += timedelta(seconds=0.01)
        found = await look(ctx, resource, **given)
        if found:
            refreshed.append(await world.refresh(ann["refresh_token"]))
        return found

    monkeypatch.setattr(Context, "list", ahead)
    await forget_expired(world.app.as_system())
    assert [answer.status_code for answer in refreshed] == [200]
    assert await world.code(refreshed[0].json()["access_token"]) == "ok"
    assert (await world.refresh(refreshed[0].json()["refresh_token"])).status_code == 200
