"""The write-ahead log is moved into the file while writes go on, and begins anew: it does not grow without end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import pytest

from ramet.data.sqlite import committer
from ramet.data.sqlite.committer import Committer
from ramet.errors import SettingsError

from .conftest import Opened, Opens

MOST = 40
GROWN = 20 * MOST
"""More than it grows to while it is moved, on a busy machine too; a third of what is written."""
VALUE = "v" * 3_000  # about a page


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "LOG_PAGES", (MOST, MOST))


def pages(it: Opened) -> int:
    assert it.store.changes.pages is not None
    return it.store.changes.pages()


async def write(it: Opened, name: str, count: int, ahead: int = 1) -> list[int]:
    """The length of the log after each of so many commits.

    They are at most so many `ahead` of the thread that moves it: how long that takes is up to the machine.
    """
    found = []
    for number in range(count):
        await it.put(f"x-{name}-{number:04}", VALUE)
        found.append(pages(it))
        if (number + 1) % ahead == 0:
            await asyncio.wrap_future(it.store.writer._committer._mover.submit(int))
    return found


async def until_moved(it: Opened, name: str) -> None:
    """Writes until the log begins anew, which must not take long once nobody is in the way."""
    for turn in range(200):
        (length,) = await write(it, f"{name}{turn}", 1)
        if length < MOST:
            return
    raise AssertionError("the log did not begin anew")


async def test_a_long_log_is_moved_and_begins_anew_while_writes_go_on(opens: Opens, tmp_path: Path) -> None:
    async with opens() as it:
        found = await write(it, "a", 600, ahead=8)
        assert sum(after < before for before, after in pairwise(found)) > 3
        assert max(found) < GROWN
        peaks = [before for before, after in pairwise(found) if after < before]
        assert median(peaks[len(peaks) // 2 :]) < 3 * MOST, "it is not begun later from time to time"
        assert len(await it.names()) == 600
        assert (tmp_path / "data.db-wal").stat().st_size < 2 * GROWN * 4_120
    async with opens() as it:
        assert len(await it.names()) == 600


async def test_what_reads_an_old_state_keeps_it_and_is_not_waited_for(opens: Opens, tmp_path: Path) -> None:
    async with opens() as it:
        await write(it, "a", 5)
        reader = apsw.Connection(str(tmp_path / "data.db"))
        reader.execute("BEGIN")
        count = "SELECT count(*) FROM ramet_facts WHERE name LIKE 'x%'"
        assert reader.execute(count).fetchone() == (5,)
        found = await write(it, "b", 4 * MOST)
        assert found == sorted(found)
        assert found[-1] > 4 * MOST
        assert reader.execute(count).fetchone() == (5,)
        reader.execute("COMMIT")
        reader.close()
        await until_moved(it, "c")


async def test_while_the_log_cannot_begin_anew_it_is_tried_now_and_then_and_not_at_each_commit(
    opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0
    run = Committer._run

    def counted(self: Committer) -> None:
        nonlocal tried
        tried += 1
        run(self)

    monkeypatch.setattr(Committer, "_run", counted)
    async with opens() as it:
        await write(it, "a", 1)
        reader = apsw.Connection(str(tmp_path / "data.db"))
        reader.execute("BEGIN; SELECT count(*) FROM ramet_facts").fetchall()
        found = await write(it, "b", 4 * MOST)
        reader.close()
        assert 2 <= tried <= found[-1] // (MOST // 4)


@pytest.mark.parametrize("error", [SettingsError("it cannot be opened"), apsw.BusyError("another is at it")])
async def test_where_nothing_can_be_moved_beside_the_commits_they_move_it(
    opens: Opens, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(committer, "open_connection", fails)
    async with opens() as it:
        await write(it, "a", MOST)
        await until_moved(it, "b")


async def test_what_is_on_disk_is_told_so_when_there_can_be_no_more_threads(
    opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThreads(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("can't start new thread")

    async with opens() as it:
        monkeypatch.setattr(it.store.writer._committer, "_mover", NoThreads(1))
        found = await write(it, "a", 2 * MOST, ahead=2 * MOST + 1)
        assert len(await it.names()) == 2 * MOST
        assert max(found) < 2 * MOST


async def test_most_of_it_is_moved_beside_the_commits(opens: Opens, tmp_path: Path) -> None:
    async with opens() as it:
        await write(it, "a", 3)
        assert _moved(tmp_path) < pages(it) < MOST
        it.store.writer._committer._run()
        assert _moved(tmp_path) == pages(it)


def _moved(folder: Path) -> int:
    """How many pages of the log are in the file: `nBackfill` of the WAL index.

    Another process reads it: this one would lose its locks on the file with the descriptor.
    """
    program = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read()[96:100])"
    read = subprocess.run([sys.executable, "-c", program, str(folder / "data.db-shm")], capture_output=True, check=True)
    return int.from_bytes(read.stdout, sys.byteorder)


async def test_several_who_write_to_one_file_keep_its_log_short_together(opens: Opens) -> None:
    async with opens() as one, opens() as other:
        found = await asyncio.gather(write(one, "a", 300, ahead=8), write(other, "b", 300, ahead=8))
        assert max(map(max, found)) < GROWN
        assert len(await one.names()) == len(await other.names()) == 600


class Watched:
    """Passes everything on, and tries to write on another connection when the log is moved."""

    def __init__(self, connection: apsw.Connection, other: apsw.Connection, length: Callable[[], int]) -> None:
        self._connection = connection
        self._other = other
        self._length = length
        self.refused: list[tuple[int, bool]] = []
        """How long the log was each time, and whether that was refused."""

    def execute(self, sql: str) -> Any:
        return self._connection.execute(sql)

    def wal_checkpoint(self, **given: Any) -> Any:
        length = self._length()
        try:
            self._other.execute("BEGIN IMMEDIATE; ROLLBACK")
            self.refused.append((length, False))
        except apsw.BusyError:
            self.refused.append((length, True))
        return self._connection.wal_checkpoint(**given)


async def test_when_the_log_is_far_too_long_nobody_commits_while_the_rest_of_it_is_moved(
    opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one of several who write all the time may always have, and it never begins anew."""
    async with opens() as it:
        await write(it, "a", 5)
        mover = it.store.writer._committer
        other, reader = (apsw.Connection(str(tmp_path / "data.db")) for _ in range(2))
        watched = Watched(mover._connection, other, lambda: pages(it))
        monkeypatch.setattr(mover, "_connection", watched)
        reader.execute("BEGIN; SELECT count(*) FROM ramet_facts").fetchall()
        await write(it, "b", 4 * MOST)
        assert {refused for length, refused in watched.refused if length < 2 * MOST} == {False}
        assert {refused for length, refused in watched.refused if length >= 2 * MOST} == {True}
        reader.close()
        other.execute("BEGIN IMMEDIATE")  # in the middle of something long: then it is moved as far as that goes
        assert mover._shut_out() is None
        other.execute("ROLLBACK")
        await until_moved(it, "c")
        other.close()


async def test_without_a_view_of_the_log_the_engine_moves_it(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmapped(path: Path) -> Any:
        raise OSError("no such memory here")

    monkeypatch.setattr("ramet.data.sqlite.log.WalIndex", unmapped)
    async with opens() as it:
        connection = it.store.writer._connection
        assert connection.pragma("wal_autocheckpoint") > 0
        connection.pragma("wal_autocheckpoint", MOST)
        for number in range(4 * MOST):
            await it.put(f"x{number}", VALUE)
        length, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        assert length < 3 * MOST


async def test_its_threads_end_with_the_store(opens: Opens) -> None:
    async with opens() as it:
        await write(it, "a", 4 * MOST)
        assert {"ramet-commit_0", "ramet-checkpoint_0"} <= {thread.name for thread in threading.enumerate()}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ramet-c")]


def test_a_small_disk_has_a_short_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_bavail, f_frsize = 1, 4_096

    monkeypatch.setattr(committer, "LOG_PAGES", (1_000, 16_000))
    monkeypatch.setattr(committer.os, "statvfs", lambda _: Disk)
    connection = apsw.Connection(str(tmp_path / "some.db"))
    found = []
    for Disk.f_bavail in (0, 40_000, 1_000_000):
        found.append(committer._log_pages(connection, tmp_path / "some.db"))
    connection.close()
    assert found == [1_000, 5_000, 16_000]
