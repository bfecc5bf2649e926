"""Accounts over HTTP: registering, signing in, the own record, administrators, passwords."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ramet.errors import Problem
from ramet.identity.sessions import Session
from ramet.identity.users import User
from ramet.observe import StatementRun

from .identity_world import OTHER, PASSWORD, World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as world:
        yield world


class Work:
    """What a request costs, counted: passwords hashed, reads of users, rows logged.

    A logged row makes a commit durable, which is what takes time; a write that changes nothing costs next to nothing.
    """

    def __init__(self, world: World) -> None:
        self._passwords = world.app.identity.passwords
        self._logged: list[str] = []
        world.app.feed.subscribe(lambda changes: self._logged.extend(change.record_id for change in changes))
        self._reads = 0
        world.app.observer.subscribe(StatementRun, self._read)

    def take(self) -> dict[str, int]:
        return {"reads": self._reads, "hashes": self._passwords.hashed, "logged": len(self._logged)}

    def _read(self, event: StatementRun) -> None:
        self._reads += "FROM users" in event.sql


async def cost(work: Work, request: Any) -> tuple[Any, dict[str, int]]:
    before = work.take()
    answer = await request
    after = work.take()
    return answer, {name: after[name] - before[name] for name in after}


async def test_whoever_registers_signs_in_and_owns_the_own_record(world: World) -> None:
    answer = await world.post("/auth/register", email="Ann@Example.org", password=PASSWORD, name="Ann")
    assert (answer.status_code, answer.json()) == (202, {"email": "ann@example.org"})
    session = await world.sign_in("ANN@example.org")
    assert session["token_type"] == "Bearer"
    assert session["expires_in"] == 900
    user = session["user"]
    assert user == {"id": user["id"], "email": "ann@example.org", "name": "Ann", "roles": []}
    me = await world.ask("GET", "/users/me", session["access_token"])
    assert me.json()["owner"] == me.json()["id"] == user["id"]
    assert set(me.json()) == {
        *("id", "owner", "created_at", "updated_at", "version"),
        *("email", "name", "roles", "disabled", "access_changed_at"),
    }
    changed = await world.ask("PATCH", "/users/me", session["access_token"], json={"name": "Anna"})
    assert (changed.status_code, changed.json()["name"]) == (200, "Anna")
    assert (await world.ask("GET", f"/users/{user['id']}", session["access_token"])).json()["name"] == "Anna"
    assert session["access_token"] not in repr(answer.headers)


async def test_strangers_have_no_record_of_their_own(world: World) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        assert (await world.ask(method, "/users/me", json={})).json()["code"] == "unauthenticated"
    assert (await world.ask("POST", "/users", json={})).json()["code"] == "method_not_allowed"


async def test_registering_a_taken_address_looks_and_costs_the_same_and_changes_nothing(world: World) -> None:
    work = Work(world)
    first, new = await cost(work, world.post("/auth/register", email="ann@example.org", password=PASSWORD))
    world.clock.forward(1)
    again, taken = await cost(work, world.post("/auth/register", email="Ann@example.org", password=OTHER))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert set(first.headers) == set(again.headers)
    assert new["hashes"] == taken["hashes"] == 1
    assert new["logged"] == taken["logged"] == 1
    assert world.refused == ["address_taken"]
    assert (await world.post("/auth/sign-in", email="ann@example.org", password=OTHER)).status_code == 401
    await world.sign_in("ann@example.org")


async def test_a_refused_sign_in_looks_and_costs_the_same_whatever_the_reason(world: World) -> None:
    admin = await world.admin()
    await world.register("ann@example.org")
    gone = await world.app.identity.create_user("gone@example.org", PASSWORD)
    assert (await world.ask("PATCH", f"/users/{gone.id}", admin, json={"disabled": True})).status_code == 200
    work = Work(world)
    seen = []
    for email, password in [
        ("ann@example.org", OTHER),
        ("nobody@example.org", PASSWORD),
        ("gone@example.org", PASSWORD),
        ("gone@example.org", OTHER),
    ]:
        answer, spent = await cost(work, world.post("/auth/sign-in", email=email, password=password))
        seen.append((answer.status_code, answer.content, sorted(answer.headers), spent))
    assert all(it == seen[0] for it in seen)
    assert seen[0][0] == 401
    assert seen[0][3]["hashes"] == 1
    assert seen[0][3]["logged"] == 0
    assert world.refused == ["wrong_password", "unknown_account", "disabled", "wrong_password"]


@pytest.mark.parametrize(
    ("email", "password", "pointer", "code"),
    [
        ("ann@example.org", "password1", "/password", "common_password"),
        ("ann@example.org", "short", "/password", "too_short"),
        ("ann@example.org", "x1" * 65, "/password", "too_long"),
        ("Ann.With.Long@example.org", "ann.with.long", "/password", "same_as_email"),
        ("ann@example.org", "nul \u0000 character", "/password", "invalid_value"),
        ("ann@example.org", "bell \u0007 character", "/password", "invalid_characters"),
        ("no address", PASSWORD, "/email", "invalid_value"),
        ("ann@localhost", PASSWORD, "/email", "invalid_value"),
        (["ann@example.org"], PASSWORD, "/email", "wrong_type"),
        ("ann@example.org", 12345678, "/password", "wrong_type"),
    ],
)
async def test_what_cannot_be_registered_is_said_by_field(
    world: World, email: Any, password: Any, pointer: str, code: str
) -> None:
    answer = await world.post("/auth/register", email=email, password=password)
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [(pointer, code)]
    assert await world.app.as_system().count(User) == 0


async def test_registration_can_be_closed(tmp_path: Path) -> None:
    async with running(tmp_path, registration=False) as world:
        answer = await world.post("/auth/register", email="ann@example.org", password=PASSWORD)
        assert answer.json()["code"] == "forbidden"
        assert await world.app.as_system().count(User) == 0
        await world.app.identity.create_user("ann@example.org", PASSWORD)
        await world.sign_in("ann@example.org")


async def test_a_user_changes_nothing_of_itself_but_its_name(world: World) -> None:
    ann = await world.join()
    token = ann["access_token"]
    for field, value in {
        "roles": ["admin"],
        "disabled": True,
        "email": "other@example.org",
        "password_hash": "x",
        "owner": ann["user"]["id"],
        "access_changed_at": None,
    }.items():
        answer = await world.ask("PATCH", "/users/me", token, json={field: value})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    refused = await world.ask("PUT", "/users/me", token, json={"email": "ann@example.org", "roles": ["admin"]})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/roles"]
    replaced = await world.ask("PUT", "/users/me", token, json={"email": "ann@example.org", "name": "Ann"})
    assert (replaced.status_code, replaced.json()["name"]) == (200, "Ann")
    assert (await world.ask("DELETE", "/users/me", token)).json()["code"] == "forbidden"


async def test_a_replacement_by_its_user_keeps_what_administrators_set(world: World) -> None:
    ann = await world.join()
    admin = await world.admin()
    changed = await world.ask("PATCH", f"/users/{ann['user']['id']}", admin, json={"roles": ["editor"]})
    assert changed.status_code == 200
    token = (await world.sign_in("ann@example.org"))["access_token"]
    replaced = await world.ask("PUT", "/users/me", token, json={"email": "ann@example.org", "name": "A"})
    assert (replaced.status_code, replaced.json()["roles"], replaced.json()["name"]) == (200, ["editor"], "A")


async def test_users_see_themselves_and_administrators_everybody(world: World) -> None:
    ann, bob = await world.join(), await world.join("bob@example.org")
    admin = await world.admin()
    seen = (await world.ask("GET", "/users", ann["access_token"])).json()["items"]
    assert [user["email"] for user in seen] == ["ann@example.org"]
    assert await world.code(ann["access_token"], f"/users/{bob['user']['id']}") == "not_found"
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = await world.ask(method, f"/users/{bob['user']['id']}", ann["access_token"], json=body)
        assert answer.status_code in (403, 404)
    seen = (await world.ask("GET", "/users?sort=email", admin)).json()["items"]
    assert [user["email"] for user in seen] == ["ann@example.org", "bob@example.org", "root@example.org"]
    assert (await world.ask("GET", "/users?password_hash=x", admin)).status_code == 400
    assert "argon2" not in (await world.ask("GET", "/users", admin)).text


async def test_addresses_stay_unique_and_in_lower_case(world: World) -> None:
    ann = await world.join()
    await world.join("bob@example.org")
    admin = await world.admin()
    path = f"/users/{ann['user']['id']}"
    assert (await world.ask("PATCH", path, admin, json={"email": "BOB@example.org"})).json()["code"] == "not_unique"
    moved = await world.ask("PATCH", path, admin, json={"email": "Ann.New@example.org"})
    assert moved.json()["email"] == "ann.new@example.org"
    await world.sign_in("ann.new@example.org")
    assert await world.code(ann["access_token"]) == "ok"


async def test_new_roles_end_the_old_access_token_at_once_but_not_the_session(world: World) -> None:
    ann = await world.join()
    admin = await world.admin()
    path = f"/users/{ann['user']['id']}"
    assert (await world.ask("PATCH", path, admin, json={"roles": ["editor", "admin", "editor"]})).status_code == 200
    assert await world.code(ann["access_token"]) == "invalid_token"
    new = (await world.refresh(ann["refresh_token"])).json()
    assert new["user"]["roles"] == ["admin", "editor"]
    assert await world.code(new["access_token"]) == "ok"
    assert len((await world.ask("GET", "/users", new["access_token"])).json()["items"]) == 2
    assert (await world.ask("PATCH", path, admin, json={"roles": []})).status_code == 200
    assert await world.code(new["access_token"]) == "invalid_token"
    newest = (await world.refresh(new["refresh_token"])).json()
    assert len((await world.ask("GET", "/users", newest["access_token"])).json()["items"]) == 1
    assert world.revoked == []


@pytest.mark.parametrize(
    "roles", [["Admin"], ["with space"], [""], ["x" * 41], [f"r{n}" for n in range(21)], "admin", [1], [None]]
)
async def test_roles_are_bounded_so_that_tokens_are(world: World, roles: Any) -> None:
    ann = await world.join()
    answer = await world.ask("PATCH", f"/users/{ann['user']['id']}", await world.admin(), json={"roles": roles})
    assert answer.status_code == 422


async def test_the_most_roles_fit_in_a_token(world: World) -> None:
    roles = [f"{'x' * 38}{n:02}" for n in range(20)]
    await world.app.identity.create_user("ann@example.org", PASSWORD, roles)
    ann = await world.sign_in("ann@example.org")
    assert len(ann["access_token"]) < 2_000
    assert await world.code(ann["access_token"]) == "ok"


async def test_a_disabled_user_is_out_at_once_and_comes_back_only_by_signing_in(world: World) -> None:
    ann = await world.join()
    admin = await world.admin()
    path = f"/users/{ann['user']['id']}"
    assert (await world.ask("PATCH", path, admin, json={"disabled": True})).status_code == 200
    assert await world.code(ann["access_token"]) == "session_ended"
    assert (await world.refresh(ann["refresh_token"])).json()["code"] == "session_ended"
    assert (await world.post("/auth/sign-in", email="ann@example.org", password=PASSWORD)).status_code == 401
    assert world.revoked == [(ann["session"], "administrator")]
    assert (await world.ask("PATCH", path, admin, json={"disabled": False})).status_code == 200
    assert await world.code(ann["access_token"]) == "session_ended"
    assert (await world.refresh(ann["refresh_token"])).json()["code"] == "session_ended"
    assert await world.code((await world.sign_in("ann@example.org"))["access_token"]) == "ok"


async def test_a_deleted_user_is_out_at_once_and_its_sessions_are_gone(world: World) -> None:
    ann = await world.join()
    admin = await world.admin()
    note = await world.post("/notes", ann["access_token"], text="stays")
    assert (await world.ask("DELETE", f"/users/{ann['user']['id']}", admin)).status_code == 204
    assert await world.code(ann["access_token"]) == "session_ended"
    assert (await world.refresh(ann["refresh_token"])).json()["code"] == "session_ended"
    assert (await world.post("/auth/sign-in", email="ann@example.org", password=PASSWORD)).status_code == 401
    assert await world.app.as_system().count(Session, user=ann["user"]["id"]) == 0
    assert (await world.ask("GET", f"/notes/{note.json()['id']}", admin)).json()["text"] == "stays"
    await world.join()


async def test_a_new_password_ends_all_other_sessions(world: World) -> None:
    ann = await world.join()
    elsewhere = await world.sign_in("ann@example.org")
    bob = await world.join("bob@example.org")
    token = ann["access_token"]
    changed = await world.post("/auth/change-password", token, current_password=PASSWORD, new_password=OTHER)
    assert (changed.status_code, changed.content) == (204, b"")
    assert world.revoked == [(elsewhere["session"], "password")]
    assert await world.code(elsewhere["access_token"]) == "session_ended"
    assert (await world.refresh(elsewhere["refresh_token"])).json()["code"] == "session_ended"
    assert await world.code(token) == "ok"
    assert (await world.refresh(ann["refresh_token"])).status_code == 200
    assert await world.code(bob["access_token"]) == "ok"
    assert (await world.post("/auth/sign-in", email="ann@example.org", password=PASSWORD)).status_code == 401
    await world.sign_in("ann@example.org", OTHER)


async def test_a_password_is_changed_only_by_who_knows_it(world: World) -> None:
    ann = await world.join()
    token = ann["access_token"]
    for current, new, pointer, code in [
        (OTHER, "another long one", "/current_password", "wrong_password"),
        ("x" * 200, "another long one", "/current_password", "too_long"),
        (PASSWORD, "password1", "/new_password", "common_password"),
    ]:
        answer = await world.post("/auth/change-password", token, current_password=current, new_password=new)
        fault = answer.json()["errors"][0]
        assert (answer.status_code, fault["pointer"], fault["code"]) == (422, pointer, code)
    answer = await world.post("/auth/change-password", current_password=PASSWORD, new_password=OTHER)
    assert answer.json()["code"] == "unauthenticated"
    await world.sign_in("ann@example.org")
    assert world.revoked == []


async def test_a_hash_of_other_costs_is_renewed_when_its_owner_signs_in(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.join()
    async with running(tmp_path, password_memory=16) as world:
        assert "m=8," in (await world.app.as_system().list(User))[0].password_hash
        await world.sign_in("ann@example.org")
        assert "m=16," in (await world.app.as_system().list(User))[0].password_hash
        await world.sign_in("ann@example.org")


async def test_guesses_at_one_account_are_bounded_whether_it_exists(tmp_path: Path) -> None:
    async with running(tmp_path, limits=True, limit_account="3/300", limit_sign_in="100/60") as world:
        await world.register("ann@example.org")
        for email in ("ann@example.org", "nobody@example.org"):
            codes = [(await world.post("/auth/sign-in", email=email, password=OTHER)).json()["code"] for _ in range(5)]
            assert codes == ["invalid_credentials"] * 3 + ["rate_limited"] * 2
        refused = await world.post("/auth/sign-in", email="Ann@example.org", password=PASSWORD)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0


async def test_sign_ins_from_one_address_are_bounded(tmp_path: Path) -> None:
    async with running(
        tmp_path, limits=True, limit_sign_in="2/60", limit_register="1/60", limit_refresh="1/60"
    ) as world:
        await world.register("ann@example.org")
        again = await world.post("/auth/register", email="bob@example.org", password=PASSWORD)
        assert again.status_code == 429
        ann = await world.sign_in("ann@example.org")
        await world.sign_in("ann@example.org")
        assert (await world.post("/auth/sign-in", email="bob@example.org", password=PASSWORD)).status_code == 429
        assert (await world.refresh(ann["refresh_token"])).status_code == 200
        assert (await world.refresh(ann["refresh_token"])).status_code == 429
        assert await world.code(ann["access_token"]) == "ok"


async def test_users_are_made_from_the_command_line(world: World) -> None:
    made = await world.app.identity.create_user("Root@Example.org", PASSWORD, ["admin"], "Root")
    assert (made.email, made.name, made.roles, made.owner) == ("root@example.org", "Root", ["admin"], made.id)
    create = world.app.identity.create_user
    for email, password, roles, code in [
        ("root@example.org", PASSWORD, [], "not_unique"),
        ("not an address", PASSWORD, [], "invalid_input"),
        ("ann@example.org", "password1", [], "invalid_input"),
        ("ann@example.org", PASSWORD, ["No Such Form"], "invalid_input"),
    ]:
        with pytest.raises(Problem) as refused:
            await create(email, password, roles)
        assert refused.value.kind.code == code
    assert await world.app.as_system().count(User) == 1
