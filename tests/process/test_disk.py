"""A disk that is full or fails: writes are refused, reads go on, nothing is half-written, and it recovers by itself."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.process.client import Client, connected, until
from tests.process.disks import can_mount, failing, fill
from tests.process.harness import LEDGER, RAMET, Running, ramet_serve, running
from tests.process.ledger import ENTRIES, Auditor, Writer
from tests.process.people import AUTH, CHEAP, PASSWORD, register, sign_in

SMALL_DISK = 16_777_216
Break = Callable[[Running, Path], AbstractContextManager[None]]


@contextmanager
def _full(server: Running, folder: Path) -> Iterator[None]:
    fill(folder)
    try:
        yield
    finally:
        (folder / "filler").unlink()


def _failing(calls: str, error: str) -> Break:
    def fail(server: Running, folder: Path) -> AbstractContextManager[None]:
        files = [folder / name for name in ("ramet.db", "ramet.db-wal", "ramet.db-shm")]
        return failing(server.process.pid, files, calls, error)

    return fail


CASES: dict[str, tuple[Break, int, str]] = {
    "no space": (_failing("pwrite64", "ENOSPC"), 507, "storage_full"),
    "no space when syncing": (_failing("fdatasync,fsync,ftruncate", "ENOSPC"), 503, "unavailable"),
    "writing fails": (_failing("pwrite64", "EIO"), 503, "unavailable"),
    "syncing fails": (_failing("fdatasync,fsync", "EIO"), 503, "unavailable"),
    **({"full file system": (_full, 507, "storage_full")} if can_mount() else {}),
}


@pytest.mark.parametrize("case", CASES)
async def test_writes_are_refused_reads_go_on_and_it_recovers(tmp_path: Path, case: str) -> None:
    break_disk, status, code = CASES[case]
    with ExitStack() as stack:
        if break_disk is _full:
            launcher = ["-m", "tests.process.disks", str(tmp_path), str(SMALL_DISK), sys.executable, RAMET]
            launcher += ["serve", LEDGER, "--port", "0"]
            server = stack.enter_context(running(launcher, tmp_path, **CHEAP))
            port = await asyncio.to_thread(server.port)
            folder = Path(f"/proc/{server.process.pid}/root{tmp_path}")
            auditor = Auditor(folder / "ramet.db", copies=tmp_path)
        else:
            server = stack.enter_context(ramet_serve(tmp_path, **CHEAP))
            port = await asyncio.to_thread(server.port)
            folder = tmp_path
            auditor = Auditor(folder / "ramet.db")
        async with connected(port, 4) as clients:
            trial = _Trial(clients, auditor, status, code)
            await trial.prepare()
            with break_disk(server, folder):
                await trial.suffer()
            await trial.recover()


class _Trial:
    """Writers and readers of one server, before, while and after its disk fails."""

    def __init__(self, clients: list[Client], auditor: Auditor, status: int, code: str) -> None:
        self._clients = clients
        self._writers = [Writer(f"w{number}", random.Random(number)) for number in range(len(clients))]
        self._auditor = auditor
        self._expected = (status, code)

    async def prepare(self) -> None:
        self._email = await register(self._clients[0], "writer")
        for _ in range(15):
            assert {status for status, _ in await self._attempt()} == {0}
        self._auditor.check(self._writers, whole=True)

    async def suffer(self) -> None:
        """Until ten rounds in a row are refused: a full disk may have a little room left in files that exist."""
        refused = 0
        while refused < 10:
            answers = await self._attempt()
            assert answers <= {(0, ""), self._expected}, answers
            refused = refused + 1 if answers == {self._expected} else 0
        credentials = {"email": self._email, "password": PASSWORD}
        answer = await self._clients[0].ask("POST", f"{AUTH}/sign-in", credentials)
        assert (answer.status, answer.json()["code"]) == self._expected
        await self._read()
        self._auditor.check(self._writers)
        assert (await self._clients[0].ask("GET", "/health")).status == 200

    async def recover(self) -> None:
        async def written() -> bool:
            answers = await self._attempt()
            assert answers <= {(0, ""), self._expected}, answers
            return answers == {(0, "")}

        await until(written)
        for _ in range(15):
            assert await self._attempt() == {(0, "")}
        await self._read()
        await sign_in(self._clients[0], self._email)
        self._auditor.check(self._writers, whole=True)

    async def _attempt(self) -> set[tuple[int, str]]:
        """One change by every writer at once: what came of them, (0, "") for success."""
        pairs = zip(self._writers, self._clients, strict=True)
        answers = await asyncio.gather(*(writer.attempt(client) for writer, client in pairs))
        found = set()
        for answer in answers:
            refused = answer.status >= 300
            assert not refused or int(answer.header("retry-after")) > 0, answer
            found.add((answer.status, answer.json()["code"]) if refused else (0, ""))
        return found

    async def _read(self) -> None:
        """Each known record, and each one that was deleted."""
        for writer, client in zip(self._writers, self._clients, strict=True):
            for record, state in writer.known.items():
                shown = (await client.ask("GET", f"{ENTRIES}/{record}")).json()
                assert (shown["version"], shown["value"]) == state
            for record in writer.deleted:
                assert (await client.ask("GET", f"{ENTRIES}/{record}")).status == 404
        listed = await self._clients[0].ask("GET", f"{ENTRIES}?limit=5&sort=value")
        assert listed.status == 200
