"""The sink never waits for its reader, never mixes lines, and never loses one in silence: against real pipes."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet.operate.sink import Sink

BLOCK = b"x" * 99 + b"\n"


def notice(lost: int) -> bytes:
    return b"dropped %d\n" % lost


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):  # the test closed it
            os.close(descriptor)


def drain(reader: int) -> bytes:
    """What is in the pipe now."""
    os.set_blocking(reader, False)
    found = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except BlockingIOError:
            return found
        if not piece:
            return found
        found += piece


def fill(sink: Sink) -> int:
    """Puts lines until the reader takes no more; says how many."""
    count = 0
    while sink.flush():
        sink.put(BLOCK * 40)
        count += 40
    return count


def test_lines_arrive_in_order_and_whole(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice)
    sink.put(b"one\n")
    sink.put(b"two\nthree\n")
    assert sink.waiting == 14
    assert sink.flush()
    assert (sink.waiting, sink.dropped) == (0, 0)
    assert drain(reader) == b"one\ntwo\nthree\n"
    sink.close()


def test_a_full_pipe_is_not_waited_for_and_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice)
    count = fill(sink)
    assert not sink.flush()
    assert sink.waiting > 0
    found = b""
    while not sink.flush():
        found += drain(reader)
    found += drain(reader)
    assert found == BLOCK * count
    assert sink.dropped == 0
    sink.close()


def test_nothing_changes_for_others_who_share_the_descriptor(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    sink = Sink(writer, notice)
    assert os.get_blocking(writer)
    sink.close()
    os.write(writer, b"still open")


def test_beyond_its_bound_lines_are_dropped_counted_and_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice, bound=10_000)
    count = fill(sink)
    while sink.dropped < 80:
        sink.put(BLOCK * 40)
        count += 40
    assert sink.waiting <= 10_000
    found = b""
    while not sink.flush():
        found += drain(reader)
    sink.put(b"after\n")
    assert sink.flush()
    found += drain(reader)
    lines = found.splitlines()
    assert lines.count(BLOCK[:-1]) == count - sink.dropped
    assert lines[-2:] == [b"dropped %d" % sink.dropped, b"after"]
    assert lines.count(lines[-2]) == 1
    sink.close()


def test_a_reader_that_went_away_costs_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice)
    os.close(reader)
    sink.put(b"one\ntwo\n")
    assert not sink.flush()
    assert (sink.waiting, sink.dropped) == (0, 2)
    sink.put(b"three\n")
    sink.close()
    assert sink.dropped == 3


def test_a_pipe_that_nobody_reads_from_the_beginning(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    sink = Sink(writer, notice)
    sink.put(b"one\n")
    assert not sink.flush()
    sink.close()
    assert sink.dropped == 1


def test_without_standard_output_lines_go_nowhere(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    os.close(writer)
    sink = Sink(writer, notice)
    sink.put(b"one\n")
    assert sink.flush()
    sink.close()


def test_a_number_that_is_closed_and_used_again_is_not_written_to(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice)
    database = os.open(tmp_path / "data.db", os.O_RDWR | os.O_CREAT)
    os.dup2(database, writer)
    sink.put(b"a line\n")
    assert sink.flush()
    assert (tmp_path / "data.db").read_bytes() == b""
    assert drain(reader) == b"a line\n"
    sink.close()
    os.close(database)


def test_waiting_at_the_end_is_bounded_and_only_done_once(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    sink = Sink(writer, notice)
    fill(sink)
    assert not sink.flush(0.01)
    assert not sink.flush(1e9)  # known to be stuck: this returns at once
    sink.close(1e9)
    assert sink.dropped > 0


def test_a_slow_reader_is_waited_for_when_asked(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice)
    count = fill(sink)
    found: list[bytes] = []

    def read() -> None:
        while piece := os.read(reader, 1000):
            found.append(piece)

    thread = threading.Thread(target=read)
    thread.start()
    assert sink.flush(60.0)
    sink.close()
    os.close(writer)
    thread.join()
    assert b"".join(found) == BLOCK * count


def test_a_line_longer_than_a_pipe_takes_at_once(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer, notice)
    long = b"y" * 300_000 + b"\n"
    sink.put(b"short\n" + long + b"short\n")
    found = b""
    while not sink.flush():
        found += drain(reader)
    found += drain(reader)
    assert found == b"short\n" + long + b"short\n"
    sink.close()


def test_a_file_is_appended_to_where_it_stands(tmp_path: Path) -> None:
    target = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.write(target, b"before\n")
    sink = Sink(target, notice)
    sink.put(b"line\n")
    sink.close()
    os.write(target, b"after\n")
    os.close(target)
    assert (tmp_path / "log").read_bytes() == b"before\nline\nafter\n"


def test_a_full_disk_costs_lines_and_is_tried_again() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    sink = Sink(full, notice)
    for count in (1, 2):
        sink.put(b"line\n")
        assert not sink.flush()
        assert sink.dropped == count
    sink.close()
    os.close(full)


def test_a_socket_is_not_waited_for_either() -> None:
    ours, theirs = socket.socketpair()
    sink = Sink(ours.fileno(), notice)
    count = fill(sink)
    assert ours.getblocking()
    assert os.get_blocking(ours.fileno())
    found = b""
    while not sink.flush():
        found += drain(theirs.fileno())
    found += drain(theirs.fileno())
    assert found == BLOCK * count
    sink.close()
    ours.close()
    theirs.close()


def test_a_terminal_is_written_to() -> None:
    main, terminal = pty.openpty()
    sink = Sink(terminal, notice)
    sink.put(b"line\n")
    assert sink.flush()
    assert os.get_blocking(terminal)
    assert os.read(main, 100) == b"line\r\n"
    sink.close()
    os.close(terminal)
    os.close(main)


WRITER = """
import sys
from ramet.operate.sink import Sink
sink = Sink(1, lambda lost: b"")
name = sys.argv[1].encode()
for number in range(100):
    sink.put(b"".join(name * 60 + b" %d\\n" % (number * 20 + line) for line in range(20)))
    sink.flush(60.0)
sink.close(60.0)
"""


def test_lines_of_processes_that_share_a_pipe_do_not_mix(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    command = [sys.executable, "-c", WRITER]
    children = [subprocess.Popen([*command, name], stdout=writer) for name in "abc"]
    os.close(writer)
    os.set_blocking(reader, True)
    found = b""
    while piece := os.read(reader, 3000):
        found += piece
    assert [child.wait() for child in children] == [0, 0, 0]
    lines = found.decode().splitlines()
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [f"{name * 60} {number}" for number in range(2000)]
    assert len(lines) == 6000
