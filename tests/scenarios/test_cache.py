"""Kept answers: exact at once in every process, and never one caller's answer for another."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

from ramet import Access, Hidden, Ref, Resource, everyone, exists, me, owner_only, public_read, role, that, this
from ramet.data.store import Rows
from tests.scenarios.core_world import STRANGER, Person, World, person, running
from tests.test_divergence import caught_up, unreadable_log

A, B, ADMIN = person(1), person(2), person(3, "admin")


class Vault(Resource):
    """Only its owner sees it."""

    name: str
    pin: Annotated[str, Hidden] = "hidden-pin"
    secret: str = "s3cret"
    access = owner_only(also=role("admin"), fields={"secret": role("admin")})
    cache = 300


class Task(Resource):
    """Everybody sees it, so that one entry serves all."""

    title: str
    vault: Annotated[str, Ref(Vault)] | None = None
    access = public_read()
    cache = 300


class Member(Resource):
    board: str
    user: str
    access = owner_only()


class Board(Resource):
    """Seen by its members; what others see of it changes with another resource."""

    name: str
    hint: str = "for members"
    access = Access(
        read=everyone,
        fields={"hint": exists(Member, that.board == this.id, that.user == me.id)},
    )
    cache = 300


RESOURCES = [Vault, Task, Member, Board]


def keeping(path: Path) -> AbstractAsyncContextManager[World]:
    """An application that serves what it keeps, however long a busy machine lets nobody look at the log."""
    return running(path, RESOURCES, max_staleness=60.0)


async def kept(world: World, path: str, caller: Person = STRANGER) -> tuple[str, bytes]:
    answer = await world.ask("GET", path, caller)
    return answer.headers["ramet-cache"], answer.body


async def test_a_list_is_kept_until_a_change_that_concerns_it(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        vault = await world.create("/vaults", A, name="v")
        await world.create("/vaults", B, name="w")
        assert (await kept(world, "/vaults", A))[0] == "miss"
        assert (await kept(world, "/vaults", A))[0] == "near"
        await world.ask("PATCH", f"/vaults/{vault['id']}", A, {"name": "changed"})
        source, body = await kept(world, "/vaults", A)
        assert source == "miss"
        assert b"changed" in body
        assert (await kept(world, "/vaults", A))[0] == "near"
        await world.create("/vaults", B, name="x")
        assert (await kept(world, "/vaults", A))[0] == "near", "another owner's change concerns nobody else's list"


async def test_a_write_in_one_process_is_never_followed_by_a_stale_read_in_another(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", RESOURCES) as one, running(tmp_path / "data.db", RESOURCES) as two:
        await two.app.identity.rotate_keys()
        task = await one.create("/tasks", A, title="0")
        path = f"/tasks/{task['id']}"
        await caught_up(two.app)
        for number in range(1, 30):
            writer, reader = (one, two) if number % 2 else (two, one)
            assert f'"title":"{number - 1}"'.encode() in (await kept(reader, path))[1]
            assert (await kept(reader, "/tasks"))[1].count(b'"id"') == 1
            answer = await writer.ask("PATCH", path, A, {"title": str(number)})
            assert answer.status == 200
            await caught_up(reader.app)
            assert f'"title":"{number}"'.encode() in (await kept(reader, path))[1]
            assert f'"title":"{number}"'.encode() in (await kept(reader, "/tasks"))[1]


async def test_what_is_expanded_is_kept_apart_for_those_who_see_other_things(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        vault = await world.create("/vaults", A, name="of A")
        task = await world.create("/tasks", A, title="t", vault=vault["id"])
        for path in ("/tasks?expand=vault", f"/tasks/{task['id']}?expand=vault"):
            for _ in range(2):
                assert b"of A" in (await kept(world, path, A))[1]
                for other in (B, STRANGER):
                    body = (await kept(world, path, other))[1]
                    assert b"of A" not in body
                    assert b'"expanded":{"vault":null}' in body
                assert b"s3cret" not in (await kept(world, path, A))[1]
                assert b"s3cret" in (await kept(world, path, ADMIN))[1]
            answer = await world.ask("GET", path, STRANGER)
            assert "private" in answer.headers["cache-control"]
            assert b"hidden-pin" not in (await kept(world, path, ADMIN))[1]


async def test_an_expanded_record_that_changes_makes_the_list_anew(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        vault = await world.create("/vaults", A, name="old")
        await world.create("/tasks", A, title="t", vault=vault["id"])
        assert b"old" in (await kept(world, "/tasks?expand=vault", A))[1]
        await world.ask("PATCH", f"/vaults/{vault['id']}", A, {"name": "new"})
        source, body = await kept(world, "/tasks?expand=vault", A)
        assert source == "miss"
        assert b'"new"' in body


async def test_a_mask_by_another_resource_follows_its_changes_and_its_etag_too(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        board = await world.create("/boards", A, name="b")
        path = f"/boards/{board['id']}"
        before = await world.ask("GET", path, B)
        assert b"for members" not in before.body
        await world.create("/members", A, board=board["id"], user=B.id)
        after = await world.ask("GET", path, B, headers={"if-none-match": before.headers["etag"]})
        assert after.status == 200
        assert b"for members" in after.body
        assert after.headers["etag"] != before.headers["etag"]
        assert "private" in after.headers["cache-control"]
        own = (await world.ask("GET", path, A)).headers["etag"]
        changed = await world.ask("PATCH", path, A, {"name": "c"}, headers={"if-match": own})
        assert changed.status == 200, "an ETag that was given out is one that can be matched"


async def test_everybody_shares_what_is_the_same_for_everybody(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        await world.create("/tasks", A, title="t")
        assert (await kept(world, "/tasks", A))[0] == "miss"
        for caller in (B, STRANGER, ADMIN):
            assert (await kept(world, "/tasks", caller))[0] == "near"
        answer = await world.ask("GET", "/tasks", STRANGER)
        assert answer.headers["cache-control"].startswith("public")
        answer = await world.ask("GET", "/tasks", STRANGER, headers={"if-none-match": answer.headers["etag"]})
        assert (answer.status, answer.body) == (304, b"")


async def test_equal_loads_at_one_time_are_one_and_one_that_was_given_up_takes_nobody_along(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        await world.create("/tasks", A, title="t")
        store = world.app.core.store
        loads = 0
        inside, go = asyncio.Event(), asyncio.Event()
        read = store.read

        async def slow(*given: Any, **named: Any) -> Rows:
            nonlocal loads
            loads += 1
            inside.set()
            await go.wait()
            return await read(*given, **named)

        store.read = slow
        first = asyncio.create_task(world.ask("GET", "/tasks"))
        await inside.wait()
        others = [asyncio.create_task(world.ask("GET", "/tasks")) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert loads == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        go.set()
        answers = await asyncio.gather(*others)
        assert [answer.status for answer in answers] == [200] * 5
        assert loads == 2
        store.read = read


async def test_a_load_that_a_change_overtook_is_neither_joined_nor_kept(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        await world.create("/tasks", A, title="old")
        store = world.app.core.store
        inside, go = asyncio.Event(), asyncio.Event()
        read = store.read

        async def slow(*given: Any, **named: Any) -> Rows:
            rows = await read(*given, **named)
            inside.set()
            await go.wait()
            return rows

        store.read = slow
        before = asyncio.create_task(world.ask("GET", "/tasks"))
        await asyncio.wait_for(inside.wait(), 10)
        store.read = read
        await world.create("/tasks", A, title="new")
        after = await world.ask("GET", "/tasks")
        assert b'"new"' in after.body
        go.set()
        assert b'"new"' not in (await before).body
        assert b'"new"' in (await world.ask("GET", "/tasks")).body


async def test_while_the_log_cannot_be_read_nothing_kept_is_served(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        await world.create("/tasks", A, title="t")
        await kept(world, "/tasks")
        assert (await kept(world, "/tasks"))[0] == "near"
        with unreadable_log(world.app):
            assert (await kept(world, "/tasks"))[0] == "miss"
            assert (await kept(world, "/tasks"))[0] == "miss"
        await caught_up(world.app)
        assert (await kept(world, "/tasks"))[0] == "near"


async def test_coded_forms_are_kept_beside_the_answer(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data.db") as world:
        for number in range(20):
            await world.create("/tasks", A, title=f"task {number}" * 5)
        plain = (await world.ask("GET", "/tasks")).headers
        coded = [await world.ask("GET", "/tasks", headers={"accept-encoding": "gzip"}) for _ in range(2)]
        assert coded[0].body == coded[1].body
        assert coded[0].headers["content-encoding"] == "gzip"
        assert coded[0].headers["etag"] != plain["etag"]
        assert "accept-encoding" in coded[0].headers["vary"]
        again = await world.ask(
            "GET", "/tasks", headers={"accept-encoding": "gzip", "if-none-match": coded[0].headers["etag"]}
        )
        assert again.status == 304
