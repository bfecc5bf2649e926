"""`kill -9` under load: what was acknowledged stands, what was not is whole or absent, and the file is sound."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import apsw
import pytest

from tests.conftest import Scale
from tests.process.client import Client, connected, until
from tests.process.harness import DEADLINE, Running, ramet_serve
from tests.process.ledger import ENTRIES, Auditor, Writer

WRITERS = 6
MOST_ACKNOWLEDGED = 120
WHOLE_EVERY = 20


@pytest.mark.soak
async def test_killed_200_times_under_load(tmp_path: Path, scale: Scale) -> None:
    rounds = scale(short=200, full=2_000)
    lanes = [_Lane(tmp_path / name, random.Random(seed)) for seed, name in enumerate(("first", "second"))]
    await asyncio.gather(*(lane.run(rounds // len(lanes)) for lane in lanes))
    assert sum(lane.kills for lane in lanes) == rounds
    assert sum(lane.acknowledged for lane in lanes) > rounds * MOST_ACKNOWLEDGED / 4


class _Lane:
    """One database that is served, written to and killed, again and again; two of them use two cores."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        folder.mkdir()
        self.kills = self.acknowledged = 0
        self._folder = folder
        self._rng = rng
        self._writers = [Writer(f"{folder.name}{number}", rng) for number in range(WRITERS)]
        self._auditor = Auditor(folder / "ramet.db")

    async def run(self, rounds: int) -> None:
        for number in range(rounds):
            with ramet_serve(self._folder) as server:
                async with connected(await asyncio.to_thread(server.port), WRITERS) as clients:
                    await self._verify(clients, whole=number % WHOLE_EVERY == 0)
                    await self._write_until_killed(server, clients)
        with ramet_serve(self._folder) as server:
            async with connected(await asyncio.to_thread(server.port), WRITERS) as clients:
                await self._verify(clients, whole=True)
                await self._read_all(clients[0])
                await self._received_all()
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.ends) == 0
        self._check_search()

    async def _verify(self, clients: list[Client], *, whole: bool) -> None:
        """The file against the promises, then the same through the server; what had no answer is settled."""
        self._auditor.check(self._writers, whole=whole)
        for writer, client in zip(self._writers, clients, strict=True):
            if writer.unsure is not None:
                await self._settle(writer, client)
            for record in self._rng.sample(sorted(writer.touched), min(3, len(writer.touched))):
                await _see(client, writer, record)
            writer.touched.clear()

    async def _settle(self, writer: Writer, client: Client) -> None:
        """Finds out what became of the change that was under way: all of it happened, or nothing."""
        intent = writer.unsure
        assert intent is not None
        writer.unsure = None
        if intent.method == "POST" and intent.path == ENTRIES:
            before = self._auditor.ids(list(intent.created))
            again = await client.ask(intent.method, intent.path, intent.body, intent.headers)
            writer.acknowledge(intent, again)
            assert before in ({}, self._auditor.ids(list(intent.created)))
            return
        found = self._auditor.ids(list(intent.created))
        if intent.created:
            assert found.keys() in (set(), intent.created.keys()), "a transaction was written in part"
            (record, after), done = next(iter(intent.changes.items())), bool(found)
        else:
            ((record, after),) = intent.changes.items()
            answer = await client.ask("GET", f"{ENTRIES}/{record}")
            done = answer.status == 404 if after is None else answer.json()["version"] == after.version
        if done:
            writer.settle(intent, found)
        writer.touched.add(record)
        await _see(client, writer, record)

    async def _write_until_killed(self, server: Running, clients: list[Client]) -> None:
        """Kill it some time after a random number of acknowledgements, while every writer waits for an answer."""
        loop = asyncio.get_running_loop()
        left = self._rng.randrange(1, MOST_ACKNOWLEDGED)
        delay = self._rng.choice((0.0, self._rng.uniform(0, 0.02)))

        def kill() -> None:
            os.kill(server.process.pid, signal.SIGKILL)

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                loop.call_later(delay, kill)

        writing = [writer.write(client, count) for writer, client in zip(self._writers, clients, strict=True)]
        async with asyncio.timeout(DEADLINE):
            self.acknowledged += sum(await asyncio.gather(*writing))
        assert await asyncio.to_thread(server.ends) == -signal.SIGKILL
        self.kills += 1

    async def _read_all(self, client: Client) -> None:
        """Every record through the server's lists, page by page."""
        expected = {record: state for writer in self._writers for record, state in writer.known.items()}
        found, after = {}, ""
        while True:
            page = (await client.ask("GET", f"{ENTRIES}?limit=100&fields=id,version,value{after}")).json()
            found.update({item["id"]: (item["version"], item["value"]) for item in page["items"]})
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found == expected

    async def _received_all(self) -> None:
        """The hook after the commit runs for every entry that was ever created, and leaves one receipt each.

        Kills have cut it short in every round, so there is much to come; it must go on, however slow the disk is.
        """
        missing = self._not_received()
        while before := missing:

            async def further(before: int = before) -> bool:
                return self._not_received() < before

            await until(further)
            missing = self._not_received()

    def _not_received(self) -> int:
        """How many entries have no receipt yet; none has two."""
        connection = apsw.Connection(str(self._folder / "ramet.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            ((created,),) = connection.execute(
                "SELECT count(*) FROM ramet_changes WHERE resource = 'Entry' AND kind = 'created'"
            )
            ((received, different),) = connection.execute("SELECT count(*), count(DISTINCT entry) FROM receipts")
        finally:
            connection.close()
        assert received == different <= created
        return int(created - received)

    def _check_search(self) -> None:
        """The full-text index agrees with its table."""
        connection = apsw.Connection(str(self._folder / "ramet.db"))
        ((table,),) = connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")
        connection.execute(f"INSERT INTO {table}({table}, rank) VALUES ('integrity-check', 1)")
        connection.close()


async def _see(client: Client, writer: Writer, record: str) -> None:
    """The server shows a record as it was promised."""
    answer = await client.ask("GET", f"{ENTRIES}/{record}")
    state = writer.known.get(record)
    if state is None:
        assert answer.status == 404
    else:
        shown = answer.json()
        assert (shown["version"], shown["value"]) == state
