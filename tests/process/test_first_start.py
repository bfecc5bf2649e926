"""A start that is killed halfway, or finds a full disk, leaves a file with which the next one serves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.process.client import connected, until
from tests.process.harness import LEDGER, RAMET, Running, ramet_serve, running
from tests.process.ledger import ENTRIES, Auditor

_BECOME = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"


def _injected(folder: Path, inject: str, ends: tuple[str, ...] = ("", "-wal")) -> AbstractContextManager[Running]:
    """A server that is under strace from its first system call on."""
    files = [word for end in ends for word in ("-P", str(folder / f"ramet.db{end}"))]
    tracer = ["strace", "-f", "-o", os.devnull, *files, "-e", "trace=pwrite64,fdatasync", "-e", f"inject={inject}"]
    return running(["-c", _BECOME, *tracer, sys.executable, RAMET, "serve", LEDGER, "--port", "0"], folder)


@pytest.mark.parametrize("write", [1, 3, 8, 21])
async def test_a_first_start_killed_at_any_write_is_made_good_by_the_next(tmp_path: Path, write: int) -> None:
    with _injected(tmp_path, f"pwrite64:signal=SIGKILL:when={write}") as server:

        async def over() -> bool:
            return server.process.poll() is not None or "Serving" in server.text

        await until(over)
        assert "Traceback" not in server.text
    with ramet_serve(tmp_path) as server:
        async with connected(await asyncio.to_thread(server.port)) as (client,):
            assert (await client.ask("POST", ENTRIES, {"key": "a", "note": "word"})).status == 201
            assert len((await client.ask("GET", f"{ENTRIES}?q=word")).json()["items"]) == 1
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ends) == 0
    Auditor(tmp_path / "ramet.db").check([], whole=True)


async def test_a_start_on_a_full_disk_serves_reads(tmp_path: Path) -> None:
    with ramet_serve(tmp_path) as server:
        async with connected(await asyncio.to_thread(server.port)) as (client,):
            made = (await client.ask("POST", ENTRIES, {"key": "a"})).json()
        os.kill(server.process.pid, signal.SIGKILL)
        await asyncio.to_thread(server.ends)
    with _injected(tmp_path, "pwrite64:error=ENOSPC") as server:
        async with connected(await asyncio.to_thread(server.port)) as (client,):
            assert (await client.ask("GET", f"{ENTRIES}/{made['id']}")).json() == made
            refused = await client.ask("POST", ENTRIES, {"key": "b"})
            assert (refused.status, refused.json()["code"]) == (507, "storage_full")
        assert "Traceback" not in server.text


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
async def test_a_first_start_on_a_full_disk_says_so(tmp_path: Path, end: str) -> None:
    with _injected(tmp_path, "pwrite64:error=ENOSPC", (end,)) as server:
        assert await asyncio.to_thread(server.ends) == 1
        assert len(server.lines) == 1, server.text
        assert server.lines[0].startswith("RAMET_DATABASE_URL: ramet.db cannot be used: ")
    with ramet_serve(tmp_path) as server:
        await asyncio.to_thread(server.port)
