"""Sessions over two workers: refreshing together never signs out, and an end counts everywhere at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from tests.conftest import Scale
from tests.process.client import Answer, Client, spread, until
from tests.process.harness import ramet_serve
from tests.process.people import AUTH, CHEAP, PASSWORD, SignIn, register, sign_in

TOGETHER = 50
OWN = "/api/v1/own"


class Served(NamedTuple):
    """Two workers, and the file they share."""

    port: int
    database: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("sessions")
    with ramet_serve(folder, "--workers", "2", **CHEAP) as server:
        yield Served(server.port(), folder / "ramet.db")


@pytest.mark.soak
async def test_1_000_times_50_concurrent_refreshes_rotate_once_and_sign_nobody_out(
    served: Served, scale: Scale
) -> None:
    rounds, sessions = scale(short=1_000, full=10_000), 20
    async with spread(served.port, TOGETHER // 2) as workers:
        clients = [client for pair in zip(*workers.values(), strict=True) for client in pair]
        email = await register(clients[0], "many")
        opened = [await sign_in(clients[0], email) for _ in range(sessions)]
        tokens = [session.refresh for session in opened]
        given = set(tokens)
        for number in range(rounds):
            answers = await _refresh_on_all(clients, tokens[number % sessions])
            assert {answer.status for answer in answers} == {200}
            (successor,) = {answer.json()["refresh_token"] for answer in answers}
            tokens[number % sessions] = successor
            given.add(successor)
        assert len(given) == sessions + rounds, "a token was given twice"
        for token in tokens:
            assert (await clients[0].ask("POST", f"{AUTH}/refresh", {"refresh_token": token})).status == 200
    with closing(apsw.Connection(str(served.database))) as connection:
        found = dict(connection.execute("SELECT id, generation FROM sessions WHERE ended_at IS NULL").fetchall())
    assert {session.session: found.get(session.session) for session in opened} == {
        session.session: rounds // sessions + 1 for session in opened
    }


async def _refresh_on_all(clients: list[Client], token: str) -> list[Answer]:
    return await asyncio.gather(*(c.send("POST", f"{AUTH}/refresh", {"refresh_token": token}) for c in clients))


async def test_a_replay_after_the_grace_ends_the_session_on_both_workers(tmp_path: Path) -> None:
    with ramet_serve(tmp_path, "--workers", "2", refresh_grace=0.3, **CHEAP) as server:
        async with spread(await asyncio.to_thread(server.port), 1) as workers:
            first, second = (clients[0] for clients in workers.values())
            email = await register(first, "victim")
            stolen, other = await sign_in(first, email), await sign_in(first, email)
            rotated = await _refreshed(second, stolen.refresh)
            for client in (first, second):
                assert await _accepted(client, rotated) == 200

            async def refused() -> bool:
                answer = await first.ask("POST", f"{AUTH}/refresh", {"refresh_token": stolen.refresh})
                if answer.status == 200:
                    assert answer.json()["refresh_token"] == rotated.refresh, "a second successor"
                return answer.status == 401

            await until(refused)
            for client in (second, first):
                for token in (stolen.refresh, rotated.refresh):
                    answer = await client.ask("POST", f"{AUTH}/refresh", {"refresh_token": token})
                    assert (answer.status, answer.json()["code"]) == (401, "session_ended")
                assert await _accepted(client, rotated) == 401
                assert await _accepted(client, stolen) == 401
                assert await _accepted(client, other) == 200, "another session ended with it"
    with closing(apsw.Connection(str(tmp_path / "ramet.db"))) as connection:
        reasons = connection.execute("SELECT end_reason FROM sessions ORDER BY end_reason").fetchall()
    assert reasons == [(None,), ("replay",)]


async def _refreshed(client: Client, token: str) -> SignIn:
    answer = (await client.ask("POST", f"{AUTH}/refresh", {"refresh_token": token})).json()
    return SignIn(answer["access_token"], answer["refresh_token"], answer["session"])


async def _accepted(client: Client, signed_in: SignIn) -> int:
    return (await client.ask("GET", OWN, headers=signed_in.headers)).status


@pytest.mark.soak
async def test_an_ended_session_is_refused_by_the_other_worker_at_once(served: Served, scale: Scale) -> None:
    rounds, each = scale(short=200, full=2_000), 4
    rng = random.Random(5)
    async with spread(served.port, each) as workers:
        pairs = list(workers.values())
        clients = [client for pair in pairs for client in pair]
        email = await register(clients[0], "leaver")
        staying = await sign_in(clients[0], email)
        for number in range(rounds):
            leaving = await sign_in(rng.choice(clients), email)
            assert await _statuses(clients, leaving) == {200}
            how = ("sign-out", "delete", "refresh token")[number % 3]
            assert (await _end(pairs[number % 2][0], leaving, how)).status == 204
            assert await _statuses(clients, leaving) == {401}, how
            assert await _statuses(clients, staying) == {200}
        everywhere = await sign_in(clients[0], email)
        answer = await pairs[0][0].ask("POST", f"{AUTH}/sign-out-everywhere", headers=everywhere.headers)
        assert answer.status == 204
        for ended in (everywhere, staying):
            assert await _statuses(clients, ended) == {401}


async def test_a_new_password_ends_the_other_sessions_on_both_workers(served: Served) -> None:
    async with spread(served.port, 2) as workers:
        clients = [client for pair in workers.values() for client in pair]
        email = await register(clients[0], "careful")
        here, there = await sign_in(clients[0], email), await sign_in(clients[-1], email)
        assert await _statuses(clients, there) == {200}
        words = {"current_password": PASSWORD, "new_password": "another unusual sentence"}
        changed = await clients[0].ask("POST", f"{AUTH}/change-password", words, here.headers)
        assert changed.status == 204, changed
        assert await _statuses(clients, there) == {401}
        assert await _statuses(clients, here) == {200}
        old = await clients[-1].ask("POST", f"{AUTH}/sign-in", {"email": email, "password": PASSWORD})
        assert old.status == 401


async def _statuses(clients: list[Client], signed_in: SignIn) -> set[int]:
    """What every connection answers to requests sent now."""
    answers = await asyncio.gather(*(client.send("GET", OWN, headers=signed_in.headers) for client in clients))
    return {answer.status for answer in answers}


async def _end(client: Client, leaving: SignIn, how: str) -> Answer:
    if how == "delete":
        return await client.ask("DELETE", f"/api/v1/sessions/{leaving.session}", headers=leaving.headers)
    if how == "refresh token":
        return await client.ask("POST", f"{AUTH}/sign-out", {"refresh_token": leaving.refresh})
    return await client.ask("POST", f"{AUTH}/sign-out", headers=leaving.headers)
