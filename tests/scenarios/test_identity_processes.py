"""Several processes on one file: one set of keys, and what one ends every other refuses at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from ramet import App
from ramet.errors import SettingsError
from ramet.identity.sessions import Session
from ramet.interfaces.transport.lifespan import Lifespan
from tests import instances
from tests.test_divergence import caught_up

from ..conftest import Scale
from .identity_world import OTHER, PASSWORD, START, Clock, Note, World, running, settings_of

SECRET = "a secret that an operator made up, 48 characters"
WORKER = Path(__file__).with_name("identity_worker.py")


async def until_loaded(world: World, number: int) -> None:
    """Waits until a process has loaded that many keys, which it does by itself once it has seen the change."""
    async with asyncio.timeout(10):
        while any(len(app.identity.keys.rows) != number for app in instances.each(world.app)):
            await world.app.store.ping()
            await asyncio.sleep(0)


def contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


async def test_what_one_process_ends_the_other_refuses_at_once(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as one, running(tmp_path, clock) as two:
        first = await one.join()
        second, third, fourth = [await two.sign_in("ann@example.org") for _ in range(3)]
        for session in (first, second, third, fourth):
            for world in (one, two):
                assert await world.code(session["access_token"], "/notes") == "ok"
        await one.post("/auth/sign-out", first["access_token"])
        await caught_up(two.app)
        assert await two.code(first["access_token"], "/notes") == "session_ended"
        await two.ask("DELETE", f"/sessions/{second['session']}", third["access_token"])
        await caught_up(one.app)
        assert await one.code(second["access_token"], "/notes") == "session_ended"
        change = {"current_password": PASSWORD, "new_password": OTHER}
        assert (await one.post("/auth/change-password", third["access_token"], **change)).status_code == 204
        await caught_up(two.app)
        assert await two.code(fourth["access_token"], "/notes") == "session_ended"
        assert await two.code(third["access_token"], "/notes") == "ok"
        assert (await two.refresh(fourth["refresh_token"])).json()["code"] == "session_ended"


async def test_rights_change_in_every_process_at_once(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as one, running(tmp_path, clock) as two:
        admin = await one.admin()
        ann = await two.join()
        path = f"/users/{ann['user']['id']}"
        assert await two.code(ann["access_token"]) == "ok"
        await one.ask("PATCH", path, admin, json={"roles": ["editor"]})
        await caught_up(two.app)
        assert await two.code(ann["access_token"]) == "invalid_token"
        ann = (await two.refresh(ann["refresh_token"])).json()
        assert await one.code(ann["access_token"]) == "ok"
        await one.ask("PATCH", path, admin, json={"disabled": True})
        await caught_up(two.app)
        assert await two.code(ann["access_token"]) == "session_ended"
        bob = await two.join("bob@example.org")
        await one.ask("DELETE", f"/users/{bob['user']['id']}", admin)
        await caught_up(two.app)
        assert await two.code(bob["access_token"]) == "session_ended"


async def test_revocations_and_keys_outlive_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as world:
        admin = await world.admin()
        ann = await world.join()
        out, gone = await world.sign_in("ann@example.org"), await world.sign_in("ann@example.org")
        bob, cid = await world.join("bob@example.org"), await world.join("cid@example.org")
        await world.post("/auth/sign-out", out["access_token"])
        await world.ask("DELETE", f"/sessions/{gone['session']}", ann["access_token"])
        await world.ask("PATCH", f"/users/{bob['user']['id']}", admin, json={"roles": ["editor"]})
        await world.ask("DELETE", f"/users/{cid['user']['id']}", admin)
    clock.forward(800)
    async with running(tmp_path, clock) as world:
        assert await world.code(ann["access_token"]) == "ok"
        assert await world.code(out["access_token"]) == "session_ended"
        assert await world.code(gone["access_token"]) == "session_ended"
        assert await world.code(bob["access_token"]) == "invalid_token"
        assert await world.code(cid["access_token"]) == "session_ended"
        assert world.app.identity.verifier.counts()["users"] == 2
        assert (await world.refresh(ann["refresh_token"])).status_code == 200
    clock.forward(1_000)
    async with running(tmp_path, clock) as world:
        assert world.app.identity.verifier.counts() == {"tokens": 0, "sessions": 0, "users": 0}


async def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    clock = Clock()
    apps = [App(resources=[Note], clock=clock) for _ in range(3)]
    for app in apps:
        app.configure(settings_of(tmp_path))
    spans = [Lifespan(app) for app in apps]
    await asyncio.gather(*[span.startup() for span in spans])
    try:
        keys = [tuple(row.kid for row in app.identity.keys.rows) for app in apps]
        assert len(set(keys)) == 1
        assert len(keys[0]) == 1
    finally:
        for span in spans:
            await span.shutdown()


async def test_a_new_key_is_known_everywhere_before_it_signs_and_the_old_one_verifies_on(tmp_path: Path) -> None:
    clock = Clock()
    changes = {"signing_key_period": 3_600.0}
    async with running(tmp_path, clock, **changes) as one, running(tmp_path, clock, **changes) as two:
        await one.register("ann@example.org")
        clock.forward(3_600)
        old = await one.sign_in("ann@example.org")
        await one.app.identity.tidy()
        for world in (one, two):
            await until_loaded(world, 2)
        clock.forward(10)
        new = await one.sign_in("ann@example.org")
        assert new["access_token"].split(".")[0] != old["access_token"].split(".")[0]
        for world in (one, two):
            assert await world.code(old["access_token"]) == "ok"
            assert await world.code(new["access_token"]) == "ok"
        clock.forward(1_000)
        await two.app.identity.tidy()
        await until_loaded(one, 1)
        assert await two.code((await one.sign_in("ann@example.org"))["access_token"]) == "ok"


async def test_an_operators_secret_is_used_and_may_change(tmp_path: Path) -> None:
    async with running(tmp_path, secret=SECRET) as world:
        ann = await world.join()
    assert not any(SECRET.encode() in content for content in contents(tmp_path))
    async with running(tmp_path, secret=SECRET) as world:
        assert await world.code(ann["access_token"]) == "ok"
    async with running(tmp_path, secret=SECRET[::-1]) as world:
        assert await world.code(ann["access_token"]) == "invalid_token"
        renewed = await world.refresh(ann["refresh_token"])
        assert renewed.status_code == 200
        assert await world.code(renewed.json()["access_token"]) == "ok"
        world.clock.forward(60)
        assert (await world.refresh(ann["refresh_token"])).json()["code"] == "session_ended"
        assert world.revoked == []


async def test_the_log_is_read_from_a_moment_on_without_an_index_on_time(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as world:
        system, log = world.app.as_system(), world.app.store.changes
        for number in range(60):
            clock.forward(number % 3)
            await system.create(Note(text=str(number)))
            if number % 10 == 0:
                await world.app.create_user(f"user{number}@example.org", PASSWORD)
        every = [change for change in log.after(0, 1_000) if change.resource in ("Note", "User")]
        assert len(every) == 66
        for at in [START - 1, START, *{change.at for change in every}, clock.now + 1]:
            assert list(log.since(at, ["Note", "User"])) == [change for change in every if change.at >= at]
        assert [change.resource for change in log.since(0, ["User"])] == ["User"] * 6
        assert list(log.since(0, ["Session"])) == []


async def test_facts_are_made_once_for_all_processes(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as one, running(tmp_path, clock) as two:
        made = await asyncio.gather(one.app.store.fact("x", lambda: "one"), two.app.store.fact("x", lambda: "two"))
        assert made[0] == made[1]
        assert await two.app.store.fact("x", lambda: "three") == made[0]


async def test_starting_twice_is_starting_once(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        store = world.app.store
        await world.app.startup()
        assert world.app.store is store


@pytest.mark.parametrize("change", [{"secret": "too short"}, {"changes_retention": 900.0}])
async def test_settings_that_would_not_be_safe_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    app = App(resources=[Note])
    app.configure(settings_of(tmp_path, **change))
    with pytest.raises(SettingsError, match=f"RAMET_{next(iter(change)).upper()}"):
        await app.startup()


async def test_what_is_secret_stands_neither_in_the_log_of_changes_nor_in_that_of_events(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, log_level="debug") as world:
        ann = await world.join()
        new = (await world.refresh(ann["refresh_token"])).json()
        await world.post("/auth/sign-in", email="ann@example.org", password=OTHER)
        change = {"current_password": PASSWORD, "new_password": OTHER}
        await world.post("/auth/change-password", new["access_token"], **change)
        await world.app.identity.tidy()
        changes = (await world.app.store.changes.page("", 1_000))[0]
        stored = [await world.app.as_system().list(kind) for kind in ("User", "Session", "SealedKey")]
        root = await world.app.store.fact("root_secret", str)
    assert len(changes) >= 5
    logged = msgspec.json.encode(changes).decode() + "".join((change.record or b"").decode() for change in changes)
    printed = "".join(capfd.readouterr())
    (user,), (session,), (key,) = stored
    secret = [
        *(PASSWORD, OTHER, user.password_hash, session.family, session.refresh_hash, key.sealed, root),
        *(ann["refresh_token"], new["refresh_token"], ann["access_token"], new["access_token"]),
    ]
    for value in secret:
        assert len(value) > 8
        assert value not in logged
        assert value not in printed
    assert '"resource":"SealedKey"' in logged


@pytest.mark.soak
async def test_refreshes_in_two_processes_rotate_once(tmp_path: Path, scale: Scale) -> None:
    """Real processes, each with 25 callers: the write lock of the file decides who rotates."""
    async with running(tmp_path) as world:
        ann = await world.join()
        token = ann["refresh_token"]
        workers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, str(WORKER), str(tmp_path), str(world.clock.now)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(2)
        ]
        try:
            for place in range(1, scale(short=10, full=500) + 1):
                for worker in workers:
                    assert worker.stdin is not None
                    worker.stdin.write(f"{token}\n".encode())
                found: set[str] = set()
                for worker in workers:
                    assert worker.stdout is not None
                    found.update(msgspec.json.decode(await worker.stdout.readline(), type=list[str]))
                assert len(found) == 1, found
                (token,) = found
                session = await world.app.as_system().get(Session, ann["session"])
                assert session.generation == place
            assert session.ended_at is None
        finally:
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.close()
                assert await worker.wait() == 0
