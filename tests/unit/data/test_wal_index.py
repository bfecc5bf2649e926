"""The header of the WAL index tells of every commit, and reading it never costs SQLite its locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from ramet.data.sqlite.connection import open_connection
from ramet.data.sqlite.wal_index import WalIndex

OTHER_PROCESS = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
try:
    connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2); COMMIT")
    print("written")
except apsw.BusyError:
    print("busy")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


def writing(path: Path) -> apsw.Connection:
    connection = open_connection(path, writes=True)
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    return connection


def elsewhere(path: Path) -> str:
    program = [sys.executable, "-c", OTHER_PROCESS, str(path)]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()


def test_a_commit_of_any_process_moves_it_and_nothing_else_does(path: Path) -> None:
    connection = writing(path)
    index = WalIndex(path)
    assert index.moved()
    assert not index.moved()
    connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    assert not index.moved()
    connection.execute("ROLLBACK")
    assert not index.moved()
    connection.execute("SELECT * FROM t").fetchall()
    assert not index.moved()
    connection.execute("INSERT INTO t VALUES (1)")
    assert index.moved()
    assert not index.moved()
    assert elsewhere(path) == "written"
    assert index.moved()
    assert not index.moved()
    connection.close()
    index.close()


def test_commits_are_seen_after_the_log_starts_over(path: Path) -> None:
    connection = writing(path)
    index = WalIndex(path)
    for number in range(5):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        assert index.moved()
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        index.moved()
        assert not index.moved()
    connection.close()
    index.close()


def test_letting_one_watcher_go_leaves_the_locks_of_another_store_in_the_process(path: Path) -> None:
    connection = writing(path)
    first, second = WalIndex(path), WalIndex(path)
    connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    first.close()
    assert elsewhere(path) == "busy"
    connection.execute("COMMIT")
    assert second.moved()
    assert elsewhere(path) == "written"
    connection.close()
    second.close()


def test_without_an_index_there_is_nothing_to_watch(path: Path) -> None:
    with pytest.raises(OSError):
        WalIndex(path)
