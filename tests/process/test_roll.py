"""`ramet roll`: every instance is replaced under load, and no request fails, no change is lost, no event is missed."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Scale
from tests.process.client import connected
from tests.process.commands import ramet
from tests.process.harness import LEDGER, RAMET
from tests.process.loading import Follower, Load
from tests.topologies import Topology, alive, topology

ENTRIES = "/api/v1/entries"
GROUP = "watched"


@pytest.fixture(scope="module")
def up() -> Iterator[Topology]:
    """Three instances, with as many streams as anybody likes."""
    streams = {"stream_limit_address": 10_000, "stream_limit_caller": 10_000}
    with topology(LEDGER, "--replicas", "1", **streams) as found:
        yield found


def mixed(every: int, watched: int) -> Iterator[tuple[str, str, object]]:
    """Reads, cached and not, and one creation in `every`, of which one in `watched` is of the group that is watched."""
    name = os.urandom(4).hex()
    for number in itertools.count():
        if number % every == 0:
            group = GROUP if number % (every * watched) == 0 else "other"
            yield "POST", ENTRIES, {"key": f"{name}-{number}", "group": group, "value": number}
        elif number % 2:
            yield "GET", f"{ENTRIES}?group=none&limit=5", None
        else:
            yield "GET", f"{ENTRIES}?limit=5&sort=-created_at&value={number}", None


def pids(up: Topology) -> dict[str, int | None]:
    return {name: row.pid for name, row in up.rows().items() if name.startswith("instance")}


@pytest.mark.soak
async def test_nothing_is_lost_while_all_instances_are_replaced_under_load(up: Topology, scale: Scale) -> None:
    rolls = scale(short=1, full=20)
    rate = scale(short=100, full=500)
    sockets = scale(short=20, full=200)
    followers = [Follower(up.port, f"resource=entries&group={GROUP}") for _ in range(sockets)]
    load = Load(up.port, rate, 16, lambda: mixed(10, 10))
    try:
        async with asyncio.timeout(120):
            for follower in followers:
                await follower.ready.wait()
        load.start()
        before = pids(up)
        for _ in range(rolls):
            told = await asyncio.to_thread(up.roll)
            assert len(told) == 4, told
        after = pids(up)
        assert before.keys() == after.keys()
        assert set(before.values()) & set(after.values()) == set()
        await load.stop()
        assert load.failed == {}, load.outcomes
        assert load.outcomes.total() > rate * rolls
        watched = {key for key in load.acknowledged if int(key.rpartition("-")[2]) % 100 == 0}
        assert watched

        def arrived() -> bool:
            return all(watched <= follower.seen for follower in followers)

        await asyncio.to_thread(up.until, arrived)
        assert [follower.reloads for follower in followers] == [0] * sockets, "each was told what it had missed"
        assert sum(follower.connections for follower in followers) > sockets, "some lost their connection"
    finally:
        for follower in followers:
            await follower.stop()
    name = load.acknowledged[0].partition("-")[0]
    stored = await asyncio.to_thread(up.ask, "GET", f"{ENTRIES}?key[starts]={name}-&count=exact&limit=1")
    assert stored.json()["count"] == len(load.acknowledged)


@pytest.mark.soak
async def test_a_long_request_is_finished_by_the_instance_that_is_replaced(up: Topology, scale: Scale) -> None:
    seconds = scale(short=6, full=20)
    keys = [f"slow-{os.urandom(4).hex()}" for _ in range(6)]
    async with connected(up.port, len(keys)) as clients:
        answers = [
            client.send("POST", f"{ENTRIES}/slow", {"key": key, "seconds": seconds})
            for client, key in zip(clients, keys, strict=True)
        ]

        def begun() -> bool:
            found = up.ask("GET", f"{ENTRIES}?group=slow&limit=100").json()["items"]
            return set(keys) <= {entry["key"] for entry in found}

        await asyncio.to_thread(up.until, begun)
        rolling = asyncio.create_task(asyncio.to_thread(up.roll))
        for key, answer in zip(keys, await asyncio.gather(*answers), strict=True):
            assert (answer.status, answer.json()["key"]) == (200, key)
        await rolling
    assert "killed" not in up.said
    for log in (up.kept / "logs").glob("instance-*.log"):
        assert "cut off" not in log.read_text()


def test_two_rolls_at_once_are_refused(up: Topology) -> None:
    async def both() -> list[object]:
        first = asyncio.create_task(asyncio.to_thread(up.roll))
        await asyncio.to_thread(up.until, lambda: "replacing" in {row.state for row in up.rows().values()})
        second = await asyncio.to_thread(ramet, up.folder, "roll")
        return [await first, second.code, second.err]

    told, code, said = asyncio.run(both())
    assert isinstance(told, list)
    assert told[-1] == "Every instance was replaced."
    assert (code, said) == (1, "The instances are being replaced already.\n")


HELD = """
import sys, time
from pathlib import Path

if Path("hold").exists() and sys.argv[0].endswith("instance.py"):
    Path("held").touch()
    time.sleep(600)  # waits: to be ended, as the test does
"""
"""What keeps an instance from becoming ready."""


@pytest.mark.parametrize("state", ["starting", "finishing"])
def test_a_stop_in_the_middle_of_a_roll_leaves_nothing_running(state: str) -> None:
    found = Topology("app.py", "--instances", "1", "--replicas", "0", "--no-redis", drain_delay=600)
    (found.folder / "app.py").write_text(Path(LEDGER).read_text() + HELD)
    try:
        found.start()
        if state == "starting":
            (found.folder / "hold").touch()
        (before,) = pids(found).values()
        rolling = subprocess.Popen([RAMET, "roll"], cwd=found.folder, stderr=subprocess.PIPE)
        if state == "finishing":
            found.until(lambda: before not in pids(found).values())
        else:
            found.until((found.folder / "held").exists)
        processes = found.pids()
        assert found.stop() == 0, found.said
        assert not any(map(alive, processes))
        assert "killed" not in found.said
        assert rolling.communicate(timeout=60)[1]
        assert rolling.returncode == (0 if state == "finishing" else 1)
    finally:
        found.remove()


def test_a_successor_that_cannot_start_replaces_nobody_and_a_better_one_does(tmp_path: Path) -> None:
    found = Topology("app.py", "--instances", "2", "--replicas", "0", "--no-redis")
    code = found.folder / "app.py"
    shutil.copy(LEDGER, code)
    try:
        found.start()
        before = pids(found)
        code.write_text(Path(LEDGER).read_text() + "\nimport nothing_of_this_name\n")
        refused = ramet(found.folder, "roll")
        assert refused.code == 1
        assert "nothing_of_this_name" in refused.err
        assert pids(found) == before
        found.until(found.all_well)
        assert found.ask("GET", f"{ENTRIES}/worker").json() in before.values()
        assert found.ask("POST", ENTRIES, json={"key": "old"}).status_code == 201
        newer = Path(LEDGER).read_text().replace("value: int = 0", 'value: int = 0\n    label: str = "new"', 1)
        assert "label" in newer
        code.write_text(newer)
        done = ramet(found.folder, "roll")
        assert (done.code, done.err.splitlines()[-1]) == (0, "Every instance was replaced."), done.err
        assert "label" in found.said
        after = pids(found)
        assert set(before.values()) & set(after.values()) == set()
        assert [entry["label"] for entry in found.ask("GET", ENTRIES).json()["items"]] == ["new"]
    finally:
        found.remove()
