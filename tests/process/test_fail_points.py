"""Instances are killed, held and made to fail at every step of a write, of a fill and of following.

No caller without a position is given what is older than the bound, none with a position what is older than that, no
acknowledged change is lost, and all instances come to show the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from ramet.app import App
from ramet.settings import Settings
from tests.conftest import Scale
from tests.process.client import DEADLINE, until
from tests.process.copies import BOUND, RESOURCES, STALENESS, Pair
from tests.process.failing import Action, Point, points
from tests.process.mortal import LOOK, Caller, Checks, Instances, Record, another, made, mortal
from tests.redis import Server

APP = str(Path(__file__).parent / "apps" / "copies.py")
RECORDS = 2
"""Of each kind, for each lane: a client that changes them and kills one instance after the other."""
HELD = 0.3
"""Seconds that others try to change what one that stands still may hold."""
QUIET: dict[str, Any] = {"limits": False, "access_log": False, "password_memory": 8, "log_level": "error", "port": 0}
Rows = Callable[[str], dict[str, tuple[int, str]]]
Log = Callable[[], list[tuple[str, int, str]]]


class Run:
    """`rounds` are the points to come, each with what happens there; `rows` and `log` read the database itself."""

    def __init__(self, instances: Instances, bound: float, engine: str, rows: Rows, log: Log) -> None:
        self.instances = instances
        self.checks = Checks(bound)
        self.points = points(engine, "write", "fill", "follow")
        self.rounds: list[tuple[Point, Action]] = []
        self.records: list[Record] = []
        self.pausing = asyncio.Lock()
        self.rows = rows
        self.log = log
        self.number = 0

    def plan(self, kills: int, chance: random.Random) -> None:
        """So many kills, spread over all points, and at each point every other thing as well, a tenth as often."""
        self.rounds = [(self.points[number % len(self.points)], "kill") for number in range(kills)]
        for point in self.points:
            others: list[Action] = ["pause", "raise"] if point.raises else ["pause"]
            for action in others:
                self.rounds += [(point, action)] * max(1, kills // len(self.points) // 10)
        chance.shuffle(self.rounds)

    async def go(self, lanes: int) -> None:
        found = [Lane(self, slot, slot) for slot in range(lanes)]
        for lane in found:
            await lane.begin()
        async with asyncio.TaskGroup() as group:
            for lane in found:
                group.create_task(lane.run())

    async def converge(self) -> None:
        """Every instance shows what the database holds, and goes on to; every acknowledged change is in the log."""
        for path in {record.path for record in self.records}:
            for slot in range(self.instances.count):
                await until(lambda path=path, slot=slot: self._shows(slot, path))
        logged = {(record, version): title for record, version, title in self.log()}
        lost = [
            (record.id, version)
            for record in self.records
            for version, title in record.acknowledged.items()
            if logged.get((record.id, version)) != title
        ]
        assert lost == [], "acknowledged and not there"
        for record in self.records:
            assert self.rows(record.path)[record.id][0] >= max(record.acknowledged)

    async def _shows(self, slot: int, path: str) -> bool:
        """Whether it does twice. A change that nobody waited for may still come: the database is read each time."""
        caller, stored = Caller(self.instances), self.rows(path)
        try:
            for _ in range(2):
                answer = await caller.ask(slot, "GET", f"/api/v1/{path}?limit=100")
                if answer is None:
                    return False
                shown = {item["id"]: (item["version"], item["title"]) for item in answer.json()["items"]}
                if shown != stored:
                    return False
            return True
        finally:
            caller.close()

    def unused(self) -> int:
        """A number for a list that nobody has asked for yet."""
        self.number += 1
        return self.number

    def __str__(self) -> str:
        kills, checks = self.instances.kills, self.checks
        return (
            f"{sum(kills.values())} kills at {len(kills)} points (at least {min(kills.values())} at each),"
            f" {sum(self.instances.others.values())} pauses and failures,"
            f" {checks.writes} acknowledged changes and 0 lost,"
            f" {checks.reads['with a position']} reads with a position and {checks.reads['without a position']} without"
            f" and 0 stale, {checks.reads['near']} of them near, {checks.reads['shared']} shared"
        )


class Lane:
    """A client with records of its own and one slot, whose process it has killed."""

    def __init__(self, run: Run, slot: int, seed: int) -> None:
        self.run_of = run
        self.slot = slot
        self.chance = random.Random(seed)
        self.checks = run.checks
        self.instances = run.instances
        self.records: list[Record] = []
        self.caller, self.aside = Caller(self.instances), Caller(self.instances)

    async def begin(self) -> None:
        """Makes its records."""
        for path in ("kept", "plain") * RECORDS:
            self.records.append(await made(self.caller, self.slot, path))
        self.run_of.records += self.records

    async def run(self) -> None:
        """Takes the rounds that are left, until none is."""
        try:
            while self.run_of.rounds:
                point, action = self.run_of.rounds.pop()
                try:
                    await self.round(point, action)
                except Exception as error:
                    error.add_note(f"{action} {point.name}, slot {self.slot}: {self.instances.running.text[-4_000:]}")
                    raise
                self.instances.note(point, action)
                assert self.checks.stale == [], (point.name, action)
        finally:
            self.caller.close()
            self.aside.close()

    async def round(self, point: Point, action: Action) -> None:
        """Something happens at a point; then the other instances are asked, and this one when it is back."""
        async with self.run_of.pausing if action == "pause" else nullcontext():
            await self._round(point, action)

    async def _round(self, point: Point, action: Action) -> None:
        pid = await self.instances.ready(self.slot)
        record = self.chance.choice(self.records)
        self.instances.gates.arm(self.slot, point, action, self.chance.randrange(2))
        try:
            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
                group.create_task(self.until_reached(point, record))
                while not self.instances.reached(self.slot):
                    if action == "pause":  # others may have to wait for what it holds
                        await asyncio.sleep(LOOK)  # waits: for the instance to come to the point
                    else:
                        await self.look(record, self._other())
                if action == "pause":
                    await self.race(record, pid)
                self.instances.gates.disarm(self.slot)  # who still waits in the group for what stands still goes on
        finally:
            self.instances.gates.disarm(self.slot)
        if action == "kill":
            await self.instances.dead(self.slot, pid)
        await self.look(record, self._other())
        await self.look(record, self.slot)

    async def until_reached(self, point: Point, record: Record) -> None:
        """Does what passes a point, until something happened there."""
        while not self.instances.reached(self.slot):
            if point.side == "write":
                await self.checks.write(self.caller, self.slot, record, several=_several(point))
                continue
            await self.checks.write(self.caller, self._other(), record)
            if point.side == "fill":
                unused = f"?limit=100&title[not]=x{self.run_of.unused()}"
                await self.checks.read(self.caller, self.slot, self._kept(), unused)
            else:
                await self.checks.read(self.caller, self.slot, record)

    async def race(self, record: Record, pid: int) -> None:
        """Others change what the one that stands still has begun with; then it goes on, or is killed."""
        for _ in range(2):
            with suppress(TimeoutError):  # it may hold a lock of the record, or of the file
                async with asyncio.timeout(HELD):
                    if (done := await self.checks.write(self.aside, self._other(), record)) is not None:
                        await self.checks.read(self.aside, self._other(), record, after=done)
        if self.chance.random() < 0.5:
            self.instances.end(pid)
        self.instances.gates.disarm(self.slot)

    async def look(self, record: Record, slot: int) -> None:
        """Reads through an instance: its records and lists, with the position of the last change, and without any."""
        last = record.written[-1]
        for path in ("", "?limit=100"):
            await self.checks.read(self.aside, slot, record, path, after=last)
            await self.checks.read(self.aside, slot, self.chance.choice(self.run_of.records), path)

    def _other(self) -> int:
        return another(self.chance, self.instances.count, self.slot)

    def _kept(self) -> Record:
        return self.chance.choice([record for record in self.records if record.path == "kept"])


def _several(point: Point) -> bool:
    """Whether a point is passed by a change of several statements only."""
    return point.only != "" or "several" in point.name


@pytest.mark.soak
async def test_whatever_step_an_instance_is_killed_at_nothing_is_stale_and_nothing_lost(
    tmp_path: Path, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    pair, redis = Pair(), Server()
    try:
        redis.start()
        pair.delay("30ms")
        server = pair.primary
        given = {"replica_urls": (pair.replica.url("pages"),), "max_staleness": STALENESS, "redis_url": redis.url}
        settings = Settings(database_url=server.url("pages"), **given, **QUIET)

        def rows(path: str) -> dict[str, tuple[int, str]]:
            lines = server.sql(f"SELECT id, version, title FROM {path}", "pages")
            return {record: (int(version), title) for record, version, title in _split(lines)}

        def log() -> list[tuple[str, int, str]]:
            sql = "SELECT record_id, version, convert_from(record, 'UTF8')::json->>'title' FROM ramet_changes"
            lines = server.sql(f"{sql} WHERE resource IN ('Kept', 'Plain') AND kind <> 'before'", "pages")
            return [(record, int(version), title) for record, version, title in _split(lines)]

        with mortal(APP, tmp_path / "instances", [settings] * 3) as instances:
            run = Run(instances, BOUND, "postgresql", rows, log)
            await drive(run, scale(short=60, full=3_000))
            record_property("saw", str(run))
    finally:
        redis.remove()
        pair.remove()


@pytest.mark.soak
async def test_of_two_processes_on_one_file_either_may_be_killed_at_any_step(
    tmp_path: Path, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    """What has been acknowledged is shown by the next read through either: there is no bound to wait for."""
    file = tmp_path / "data.db"
    settings = Settings(database_url=f"sqlite:///{file}", **QUIET)
    App(resources=RESOURCES).has_schema(settings)

    def read(sql: str) -> list[Any]:
        with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            connection.set_busy_timeout(5_000)
            return connection.execute(sql).fetchall()

    def rows(path: str) -> dict[str, tuple[int, str]]:
        return {record: (version, title) for record, version, title in read(f"SELECT id, version, title FROM {path}")}

    def log() -> list[tuple[str, int, str]]:
        sql = "SELECT record_id, version, CAST(record AS TEXT) ->> 'title' FROM ramet_changes"
        return read(f"{sql} WHERE resource IN ('Kept', 'Plain')")

    with mortal(APP, tmp_path / "instances", [settings] * 2) as instances:
        run = Run(instances, 0.0, "sqlite", rows, log)
        await drive(run, scale(short=36, full=2_000))
        ((sound,),) = read("PRAGMA integrity_check")
        assert sound == "ok"
        record_property("saw", str(run))


async def drive(run: Run, kills: int) -> None:
    """Starts the instances, kills them so often, and looks at what is left."""
    await run.instances.start()
    run.plan(kills, random.Random(kills))
    await run.go(run.instances.count)
    await run.converge()
    for point in run.points:
        assert run.instances.kills[point.name], f"nobody was killed {point.name}"
        assert run.instances.passed(point), f"nobody has come by {point.name}"
    assert run.checks.reads["near"] > 0
    assert run.checks.stale == []


def _split(lines: str) -> list[list[str]]:
    return [line.split("|") for line in lines.splitlines()]
