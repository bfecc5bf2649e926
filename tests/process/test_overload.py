"""More work than a process can take: the excess is refused early, reads and health are answered, nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.process.client import Answer, Client, connected, until
from tests.process.harness import Running, ramet_serve
from tests.process.ledger import ENTRIES, Auditor
from tests.process.people import AUTH, PASSWORD, register

STORM = 200
READERS = 4
READS_FOR_A_SIGN_IN = 3
IN_FLIGHT = 4
VITAL = ("/health", "/health/live", "/ready", "/health/ready", "/metrics")


@asynccontextmanager
async def _served(folder: Path, count: int, **settings: Any) -> AsyncIterator[tuple[Running, list[Client]]]:
    with ramet_serve(folder, **settings) as server:
        async with connected(await asyncio.to_thread(server.port), count) as clients:
            yield server, clients


def _is_overloaded(answer: Answer) -> bool:
    """Whether the answer is a proper refusal; fails when it is an improper one."""
    if answer.status != 503:
        return False
    assert answer.json()["code"] == "overloaded"
    assert int(answer.header("retry-after")) >= 1
    return True


async def test_a_storm_of_sign_ins_is_bounded_and_reads_go_on(tmp_path: Path) -> None:
    async with _served(tmp_path, STORM + READERS) as (_, clients):
        readers, storming = clients[:READERS], clients[READERS:]
        email = await register(clients[0], "popular")
        assert (await clients[0].ask("POST", ENTRIES, {"key": "a"})).status == 201
        credentials = {"email": email, "password": PASSWORD}
        storm = asyncio.gather(*(client.send("POST", f"{AUTH}/sign-in", credentials) for client in storming))
        reads: Counter[int] = Counter()

        async def read(client: Client, path: str) -> None:
            while not storm.done():
                reads[(await client.send("GET", path)).status] += 1

        await asyncio.gather(*(read(client, f"{ENTRIES}?value={n % 2}&limit=5") for n, client in enumerate(readers)))
        answers = await storm
        refused = sum(map(_is_overloaded, answers))
        signed_in = sum(answer.status == 200 for answer in answers)
        assert signed_in + refused == STORM
        assert signed_in > STORM / 10
        assert refused > STORM / 10
        assert reads.keys() == {200}
        assert reads[200] > READS_FOR_A_SIGN_IN * signed_in
        assert (await clients[0].ask("POST", f"{AUTH}/sign-in", credentials)).status == 200


async def test_beyond_the_bound_in_flight_only_health_is_answered(tmp_path: Path) -> None:
    async with _served(tmp_path, IN_FLIGHT + 1, in_flight_limit=IN_FLIGHT) as (_, (free, *busy)):
        slow = [
            client.send("POST", f"{ENTRIES}/slow", {"key": f"s{n}", "seconds": 10.0}) for n, client in enumerate(busy)
        ]

        async def full() -> bool:
            return _is_overloaded(await free.ask("GET", ENTRIES))

        await until(full)
        for path in VITAL:
            assert (await free.ask("GET", path)).status == 200, path
        for method, path, body in (
            ("POST", ENTRIES, {"key": "x"}),
            ("POST", f"{AUTH}/sign-in", {"email": "a@example.org", "password": PASSWORD}),
            ("GET", "/api/openapi.json", None),
        ):
            assert _is_overloaded(await free.ask(method, path, body)), path
        assert not any(answer.done() for answer in slow), "the refusals came too late to mean anything"
        assert {answer.status for answer in await asyncio.gather(*slow)} == {200}
        listed = await free.ask("GET", f"{ENTRIES}?fields=key&sort=key")
        assert [item["key"] for item in listed.json()["items"]] == [f"s{n}" for n in range(IN_FLIGHT)]


async def test_bodies_that_do_not_come_take_no_place_from_others(tmp_path: Path) -> None:
    async with _served(tmp_path, 4 * IN_FLIGHT + 1, in_flight_limit=IN_FLIGHT) as (_, (free, *lagging)):
        for client in lagging:
            client.write(f"POST {ENTRIES} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n")
            client.write("content-length: 13\r\n\r\n{")
        for number in range(10):
            assert (await free.ask("POST", ENTRIES, {"key": f"k{number}"})).status == 201
            assert (await free.ask("GET", ENTRIES)).status == 200
        late = []
        for number, client in enumerate(lagging[:IN_FLIGHT]):
            late.append(client.expect())
            client.write(f'"key":"l{number:02}"}}')
        assert {answer.status for answer in await asyncio.gather(*late)} == {201}


async def test_the_queue_of_writes_is_bounded(tmp_path: Path) -> None:
    async with _served(tmp_path, STORM, write_queue_limit=8) as (_, clients):
        answers: list[Answer] = []
        for turn in range(5):
            keys = [f"t{turn}-{number}" for number in range(STORM)]
            pairs = zip(clients, keys, strict=True)
            answers += await asyncio.gather(*(client.send("POST", ENTRIES, {"key": key}) for client, key in pairs))
        refused = sum(map(_is_overloaded, answers))
        made = [answer.json()["key"] for answer in answers if answer.status == 201]
        assert len(made) + refused == len(answers)
        assert made
        assert refused
        keys = [f"t{turn}-{number}" for turn in range(5) for number in range(STORM)]
        assert Auditor(tmp_path / "ramet.db").ids(keys).keys() == set(made)
        assert (await clients[0].ask("POST", ENTRIES, {"key": "after"})).status == 201
