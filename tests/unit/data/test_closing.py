"""Processes that make or close one file at the same moment: one makes it, and the last leaves all that was written."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import apsw
import pytest

from ramet.data.engines import engine_for, prepare_schema
from ramet.data.schema import Schema
from ramet.data.sqlite import leadership
from ramet.data.sqlite.leadership import in_turn
from ramet.data.sqlite.store import SqliteStore
from ramet.declare.catalog import Catalog
from ramet.observe import Observer
from ramet.settings import Settings

from .conftest import Opens, Thing

ROUNDS = 40
PROCESSES = 2
LONG = 120.0


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


def _closes(paths: list[Path], name: str, barrier: Barrier) -> None:
    """One of the processes: it writes to each of the files and closes it when the others do."""

    async def closes() -> None:
        for path in paths:
            settings = Settings.read({}, database_url=_url(path))
            store = SqliteStore(path, settings, Observer(), lambda: 1, lambda _: None)
            await store.fact(name, lambda: "kept")
            barrier.wait(LONG)
            await store.stop()
            barrier.wait(LONG)

    asyncio.run(closes())


def test_of_those_that_close_at_the_same_moment_one_moves_the_log_into_the_file(tmp_path: Path) -> None:
    paths = [tmp_path / f"data-{number}.db" for number in range(ROUNDS)]
    catalog = Catalog([Thing])
    for path in paths:
        assert prepare_schema(_url(path), Schema(catalog, engine_for(_url(path))), catalog)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROCESSES)
    names = [f"process-{number}" for number in range(PROCESSES)]
    processes = [spawn.Process(target=_closes, args=(paths, name, barrier)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert [path.name for path in tmp_path.glob("*-wal")] == []
    for path in paths:
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        kept = apsw.Connection(str(copy)).execute("SELECT name FROM ramet_facts WHERE value = 'kept'").fetchall()
        assert sorted(name for (name,) in kept) == names
        for file in tmp_path.glob("copy.db*"):
            file.unlink()


async def test_who_closes_waits_for_who_is_closing(opens: Opens, tmp_path: Path) -> None:
    written = asyncio.Event()

    async def closes() -> None:
        async with opens() as it:
            await it.put("x1")
            written.set()

    async with in_turn(tmp_path / "data.db"):
        closing = asyncio.create_task(closes())
        await written.wait()
        await asyncio.wait({closing}, timeout=0.2)  # waits: for what must not happen
        assert not closing.done()
        assert (tmp_path / "data.db-wal").exists()
    await closing
    assert not (tmp_path / "data.db-wal").exists()


async def test_where_there_can_be_no_lock_nobody_is_waited_for(
    opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "PATIENCE", 3_600.0)
    (tmp_path / "data.db-closing.lock").mkdir()
    async with opens() as it:
        await it.put("x1")
    assert not (tmp_path / "data.db-wal").exists()


def _makes(path: Path, barrier: Barrier) -> None:
    for number in range(ROUNDS):
        url = _url(path.with_name(f"data-{number}.db"))
        catalog = Catalog([Thing])
        schema = Schema(catalog, engine_for(url))
        barrier.wait(LONG)
        assert prepare_schema(url, schema, catalog)


def test_processes_that_make_the_same_file_make_it_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROCESSES)
    processes = [spawn.Process(target=_makes, args=(tmp_path / "data.db", barrier)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


async def test_one_that_does_not_come_to_an_end_is_not_waited_for(
    opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "PATIENCE", 0.02)
    async with in_turn(tmp_path / "data.db"):
        async with opens() as it:
            await it.put("x1")
        async with opens() as it:
            assert await it.names() == ["x1"]
