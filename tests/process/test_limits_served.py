"""One caller against three processes of `ramet serve`: the limit holds for their sum, and nearly all is usable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ramet.topology.loading import load_app
from tests import databases
from tests.conftest import Scale
from tests.process.client import Client, connected, until, well
from tests.process.harness import LEDGER, ramet_serve
from tests.process.ledger import ENTRIES
from tests.process.people import CHEAP, SignIn, register, sign_in
from tests.redis import Server

COUNT = 3
LIMIT, WINDOW = 240, 4
AT_ONCE = 4


@pytest.fixture
def database(tmp_path: Path) -> str:
    return databases.fresh(databases.named(tmp_path), load_app(LEDGER))


@asynccontextmanager
async def fleet(database: str, folder: Path, **settings: Any) -> AsyncIterator[list[Client]]:
    """A few connections to each of the processes, those of one after those of another."""
    limits = {
        "limits": True,
        "limit_caller": f"{LIMIT}/{WINDOW}",
        "limit_register": "999/60",
        "limit_sign_in": "999/60",
    }
    given = {"database_url": database, **limits, **CHEAP, **settings}
    with ExitStack() as processes:
        running = [processes.enter_context(ramet_serve(folder, **given)) for _ in range(COUNT)]
        ports = [await asyncio.to_thread(process.port) for process in running]
        async with AsyncExitStack() as stack:
            yield [
                client for port in ports for client in await stack.enter_async_context(connected(port, count=AT_ONCE))
            ]


class Caller:
    """Asks on all connections at once, and notes when each request that was let through was sent and answered."""

    def __init__(self, who: SignIn) -> None:
        self.headers = who.headers
        self.admitted: list[tuple[float, float]] = []
        self.statuses: set[int] = set()

    async def ask(self, client: Client) -> bool:
        sent = time.monotonic()
        answer = await client.ask("GET", ENTRIES, headers=self.headers)
        self.statuses.add(answer.status)
        if answer.status == 200:
            self.admitted.append((sent, time.monotonic()))
        return answer.status == 200

    async def run(self, clients: list[Client], goes_on: Callable[[], bool]) -> None:
        async def one(client: Client) -> None:
            while goes_on():
                if not await self.ask(client):
                    await asyncio.sleep(0.01)  # waits: not to be refused all the time

        await asyncio.gather(*map(one, clients))

    def most(self) -> int:
        """The most that was certainly let through within one window: sent in it, and answered in it."""
        return max(
            sum(begin <= sent and answered < begin + WINDOW for sent, answered in self.admitted)
            for begin, _ in self.admitted
        )


@pytest.mark.soak
async def test_with_redis_no_window_holds_more_and_nearly_all_is_usable(
    database: str, redis: Server, tmp_path: Path, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    async with fleet(database, tmp_path, redis_url=redis.url, redis_timeout=10.0) as clients:
        await until(lambda: well(clients[::AT_ONCE]))
        caller = Caller(await sign_in(clients[0], await register(clients[0], "ann")))
        windows = scale(short=3, full=60)
        began = time.monotonic()
        await caller.run(clients, lambda: time.monotonic() < began + windows * WINDOW)
        usable = LIMIT * windows  # what is free at once, and what comes back meanwhile, but for the last window
        record_property("let through", f"{len(caller.admitted)} of {usable} in {windows} windows")
        record_property("most in a window", f"{caller.most()} of {LIMIT}")
        assert caller.statuses == {200, 429}
        assert caller.most() <= LIMIT
        assert len(caller.admitted) >= 0.95 * usable


@pytest.mark.soak
async def test_without_redis_no_window_holds_more(
    database: str, tmp_path: Path, scale: Scale, record_property: Callable[[str, object], None]
) -> None:
    async with fleet(database, tmp_path) as clients:
        seen = 0

        async def known() -> bool:
            """Whether each knows of the others, by what it tells somebody new."""
            nonlocal seen
            seen += 1
            somebody = await sign_in(clients[0], await register(clients[0], f"somebody{seen}"))
            answers = [await client.ask("GET", ENTRIES, headers=somebody.headers) for client in clients[::AT_ONCE]]
            return all(f";r={LIMIT // COUNT - 1};" in f"{answer.header('ratelimit')};" for answer in answers)

        await until(known)
        caller = Caller(await sign_in(clients[0], await register(clients[0], "ann")))
        windows = scale(short=2, full=60)
        began = time.monotonic()
        await caller.run(clients, lambda: time.monotonic() < began + windows * WINDOW)
        record_property("most in a window", f"{caller.most()} of {LIMIT}")
        assert caller.statuses == {200, 429}
        assert LIMIT // 2 < caller.most() <= LIMIT
