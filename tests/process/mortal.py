"""Instances that die at fail points and come back, and clients that write and read through them meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ramet.settings import Settings
from tests.process.client import DEADLINE, Answer, Client, Cut
from tests.process.failing import NUMBER, Action, Gates, Point
from tests.process.harness import Running

LOOK = 0.002


class Instances:
    """Slots of one application, each with a process that serves it; `settings` has those of every slot."""

    def __init__(self, app: str, folder: Path, settings: Sequence[Settings]) -> None:
        self.count = len(settings)
        self.gates = Gates(folder / "gates", self.count)
        given = msgspec.json.encode(settings).decode()
        command = ["-m", "tests.process.serve_failing", app, str(folder / "gates"), given]
        self.running = Running(command, folder)
        self.ports: list[int] = []
        self.kills: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    async def start(self) -> None:
        for number in range(self.count):
            line = await asyncio.to_thread(self.running.says, "Serving http://", times=number + 1)
            self.ports.append(int(line.rpartition(":")[2]))
        for slot in range(self.count):
            await self.ready(slot)

    async def ready(self, slot: int) -> int:
        """The number of the slot's process, once it serves."""
        async with asyncio.timeout(DEADLINE):
            while not (pid := self.gates.get(slot, "ready")):  # noqa: ASYNC110 - what changes is memory of another process
                await asyncio.sleep(LOOK)  # waits: for the next process of the slot
        return pid

    def reached(self, slot: int) -> bool:
        """Whether what the slot is armed for has happened."""
        return bool(self.gates.get(slot, "hit"))

    async def dead(self, slot: int, pid: int) -> None:
        """Returns when a process has ended."""
        async with asyncio.timeout(DEADLINE):
            while self.gates.get(slot, "ready") == pid:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(LOOK)  # waits: for the end of a process

    def end(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def note(self, point: Point, action: Action) -> None:
        (self.kills if action == "kill" else self.others)[point.name] += 1

    def passed(self, point: Point) -> int:
        return sum(self.gates.passed(slot, NUMBER[point.name]) for slot in range(self.count))

    def close(self) -> None:
        self.running.close()


@contextmanager
def mortal(app: str, folder: Path, settings: Sequence[Settings]) -> Iterator[Instances]:
    """Instances, and nothing of them afterwards."""
    folder.mkdir(exist_ok=True)
    found = Instances(app, folder, settings)
    try:
        yield found
    finally:
        found.close()


class Caller:
    """One client that keeps a connection to each instance and makes another when that has ended with its process."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._clients: dict[int, Client] = {}

    async def ask(
        self, slot: int, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer | None:
        """The answer; None when the process died, or failed, on the way: what became of a change is not known."""
        client = self._clients.get(slot)
        try:
            if client is None or client.closed:
                loop = asyncio.get_running_loop()
                client = (await loop.create_connection(Client, "127.0.0.1", self._instances.ports[slot]))[1]
                self._clients[slot] = client
            answer = await client.ask(method, path, body, headers)
        except Cut:
            self.forget(slot)
            return None
        except ConnectionError:
            self.forget(slot)
            await asyncio.sleep(LOOK)  # waits: who is refused knows it at once, and would let nobody else go on
            return None
        except BaseException:
            self.forget(slot)
            raise
        return answer if answer.status < 500 else None

    def forget(self, slot: int) -> None:
        """Leaves the connection to a slot, whatever is still under way on it."""
        if (client := self._clients.pop(slot, None)) is not None:
            client.close()

    def close(self) -> None:
        for slot in list(self._clients):
            self.forget(slot)


class Written(NamedTuple):
    """An acknowledged change, at a moment of the monotonic clock."""

    at: float
    version: int
    title: str
    position: str


class Record:
    """One record that is changed by one client. Versions count its changes, so that none is mistaken for another."""

    def __init__(self, path: str, record: str, first: Written) -> None:
        self.path = path
        self.id = record
        self.written = [first]
        self.acknowledged = {first.version: first.title}
        self.number = 0

    def least(self, before: float) -> int:
        """The version that had been acknowledged by then, at least."""
        found = 0
        for written in reversed(self.written):
            if written.at <= before:
                found = written.version
                break
        if len(self.written) > 400:
            del self.written[:200]
        return found


class Checks:
    """What was read, and what of it was older than promised: `bound` in seconds for callers without a position."""

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.reads: Counter[str] = Counter()
        self.stale: list[str] = []
        self.writes = 0

    async def write(self, caller: Caller, slot: int, record: Record, *, several: bool = False) -> Written | None:
        """Changes a record, alone or in a transaction of several statements; None when nobody knows whether."""
        record.number += 1
        title = str(record.number)
        address = f"/api/v1/{record.path}/{record.id}"
        if several:
            operations = [{"method": "PATCH", "path": address, "body": {"title": title}}]
            answer = await caller.ask(slot, "POST", "/api/v1/batch", {"operations": operations})
        else:
            answer = await caller.ask(slot, "PATCH", address, {"title": title})
        if answer is None:
            return None
        assert answer.status == 200, answer
        shown = answer.json()["results"][0]["body"] if several else answer.json()
        done = Written(time.monotonic(), shown["version"], title, answer.header("ramet-position"))
        assert shown["title"] == title
        assert done.position, answer
        if done.version > record.written[-1].version:
            record.written.append(done)
        record.acknowledged[done.version] = title
        self.writes += 1
        return done

    async def read(
        self, caller: Caller, slot: int, record: Record, path: str = "", after: Written | None = None
    ) -> bool:
        """Reads a record, alone or in a list, with the position of a change or without any; whether it was answered.

        One that is younger than the bound need not be there yet for a caller without its position.
        """
        began = time.monotonic()
        least = after.version if after else record.least(began - self.bound)
        address = f"/api/v1/{record.path}{path or '/' + record.id}"
        headers = {"ramet-position": after.position} if after else None
        answer = await caller.ask(slot, "GET", address, None, headers)
        if answer is None:
            return False
        missing = answer.status == 404 and not least
        assert answer.status == 200 or missing, answer
        body = {} if missing else answer.json()
        found = [item["version"] for item in (body["items"] if path else [body]) if item.get("id") == record.id]
        cache = answer.header("ramet-cache")
        self.reads[cache] += 1
        self.reads["with a position" if after else "without a position"] += 1
        if max(found, default=0) < least:
            kind = "with" if after else "without"
            self.stale.append(f"{kind} a position, slot {slot}, {address} ({cache}): {found} < {least}")
        return True


async def made(caller: Caller, slot: int, path: str) -> Record:
    """A new record."""
    answer = await caller.ask(slot, "POST", f"/api/v1/{path}", {"title": "0"})
    assert answer is not None
    assert answer.status == 201
    shown: Any = answer.json()
    first = Written(time.monotonic(), shown["version"], "0", answer.header("ramet-position"))
    return Record(path, shown["id"], first)


def another(chance: random.Random, count: int, slot: int) -> int:
    """A slot that is not this one."""
    return (slot + chance.randrange(1, count)) % count
