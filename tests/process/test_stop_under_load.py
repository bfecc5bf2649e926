"""Stopping, and losing a worker, under load: what was accepted is answered, what was acknowledged stands."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from tests.process.client import Client, connected, spread, until
from tests.process.harness import children, ramet_serve, refuses
from tests.process.ledger import ENTRIES, Auditor, Writer

WRITERS = 6
SLOW = 6
SLOW_SECONDS = 8.0
LOAD = 60


class _Load:
    """Writers that write, each on its connection, until that ends; `reached` once so many changes are acknowledged."""

    def __init__(self, writers: list[Writer], clients: list[Client]) -> None:
        self._left = LOAD
        self.reached = asyncio.Event()
        pairs = zip(writers, clients, strict=True)
        self.tasks = [asyncio.create_task(writer.write(client, self._count)) for writer, client in pairs]

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.reached.set()

    def again(self) -> None:
        """Wait for as many more."""
        self._left = LOAD
        self.reached.clear()


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_under_load_finishes_what_was_accepted(tmp_path: Path, workers: int) -> None:
    writers = [Writer(f"w{number}", random.Random(number)) for number in range(WRITERS)]
    keys = [f"slow-{number}" for number in range(SLOW * workers)]
    with ramet_serve(tmp_path, "--workers", str(workers)) as server:
        port = await asyncio.to_thread(server.port)
        pids = children(server.process.pid)
        async with spread(port, 1 + SLOW, workers) as found, connected(port, WRITERS) as busy:
            watcher, *slow = [client for clients in zip(*found.values(), strict=True) for client in clients]
            slow = slow[-len(keys) :]
            load = _Load(writers, busy)
            await load.reached.wait()
            bodies = [{"key": key, "seconds": SLOW_SECONDS} for key in keys]
            pairs = zip(slow, bodies, strict=True)
            answers = [client.send("POST", f"{ENTRIES}/slow", body) for client, body in pairs]

            async def begun() -> bool:
                listed = await watcher.ask("GET", f"{ENTRIES}?group=slow&limit=100")
                return len(listed.json()["items"]) == len(keys)

            await until(begun)
            server.signal(signal.SIGTERM)
            acknowledged = await asyncio.gather(*load.tasks)
            for key, answer in zip(keys, await asyncio.gather(*answers), strict=True):
                assert answer.status == 200
                assert answer.header("connection") == "close"
                assert answer.json()["key"] == key
        assert await asyncio.to_thread(server.ends) == 0, server.text
        assert refuses(port)
        assert "Traceback" not in server.text
        assert "cut off" not in server.text
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert min(acknowledged) > 0
    assert "ramet.db-wal" not in os.listdir(tmp_path), "the database was not closed"
    auditor = Auditor(tmp_path / "ramet.db")
    auditor.check(writers, whole=True)
    assert len(auditor.ids(keys)) == len(keys)


async def test_a_killed_worker_is_replaced_while_the_other_serves(tmp_path: Path) -> None:
    auditor = Auditor(tmp_path / "ramet.db")
    everybody: list[Writer] = []
    with ramet_serve(tmp_path, "--workers", "2") as server:
        port = await asyncio.to_thread(server.port)
        for number in range(4):
            async with spread(port, WRITERS // 2) as found:
                pids = sorted(found)
                killed = pids.pop(number % 2)
                (other,) = pids
                dying, living = ([Writer(f"{name}{number}{n}", random.Random(n)) for n in range(3)] for name in "dl")
                everybody += [*dying, *living]
                doomed, safe = _Load(dying, found[killed]), _Load(living, found[other])
                await doomed.reached.wait()
                os.kill(killed, signal.SIGKILL)
                assert min(await asyncio.gather(*doomed.tasks)) > 0
                safe.again()
                await safe.reached.wait()
                assert not any(task.done() for task in safe.tasks), "the other worker's connections ended too"
                auditor.check(dying)
                for client in found[other]:
                    client.close()
                await asyncio.gather(*safe.tasks)
            server.says(f"Worker {killed} ended (SIGKILL)")

            async def replaced(gone: int = killed) -> bool:
                serving = children(server.process.pid)
                return gone not in serving and len(serving) == 2

            await until(replaced)
        async with spread(port, 1) as found:
            assert set(found) == set(children(server.process.pid))
            for (client,) in found.values():
                for writer in everybody:
                    unsure = writer.unsure.changes if writer.unsure is not None else {}  # it may be deleted by now
                    for record in [known for known in writer.known if known not in unsure][:3]:
                        assert (await client.ask("GET", f"{ENTRIES}/{record}")).status == 200
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ends) == 0
    auditor.check(everybody, whole=True)
