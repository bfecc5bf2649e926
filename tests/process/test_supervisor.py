"""A parent and its workers: dying workers are replaced, nothing queued is lost, and all of it stops as one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from ramet.topology.single.supervisor import ATTEMPTS
from tests.process.harness import PLAIN, Connection, Running, children, eventually, get, refuses, serving, supervising


def pids(server: Running, port: int, count: int) -> set[int]:
    """The workers, once requests have met so many different ones."""
    found: set[int] = set()

    def met() -> bool:
        found.add(int(get(port)["x-pid"]))
        return len(found) == count

    eventually(met)
    assert found <= set(children(server.process.pid))
    return found


def gone(pid: int) -> bool:
    return (
        not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    )


def test_workers_share_the_port_and_stop_as_one(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=2) as server:
        port = server.port()
        assert server.says("Serving").endswith("with 2 workers")
        workers = pids(server, port, 2)
        with Connection(port) as busy, Connection(port) as idle:
            idle.get("/")
            busy.begin("/")
            os.killpg(server.process.pid, signal.SIGINT)
            eventually(lambda: refuses(port))
            assert idle.closed()
            assert server.process.poll() is None
            busy.send(b"abc")
            assert busy.head()[""] == "200"
        assert server.ends() == 0
        assert {int(line.split()[1]) for line in server.lines if "shutdown" in line} == workers
        assert all(gone(pid) for pid in workers)
        assert len(server.lines) == 3, server.text


def test_a_dying_worker_is_replaced_and_what_is_queued_waits_for_the_next(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=1) as server:
        port = server.port()
        first = int(get(port)["x-pid"])
        os.kill(first, signal.SIGKILL)
        eventually(lambda: gone(first))
        second = int(get(port)["x-pid"])
        assert second != first
        assert server.says("starting another") == f"Worker {first} ended (SIGKILL); starting another."
        with Connection(port) as connection:
            connection.send(b"GET /die HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.closed()
        assert int(get(port)["x-pid"]) not in {first, second}
        assert f"Worker {second} ended (exit code 3); starting another" in server.says("starting another", times=2)
        server.signal(signal.SIGTERM)
        assert server.ends() == 0


def test_replacing_all_workers_fails_no_request(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=2) as server:
        port = server.port()
        before = pids(server, port, 2)
        done = threading.Event()
        answers: list[str] = []

        def ask() -> None:
            while not done.is_set():
                answers.append(get(port)[""])

        asking = threading.Thread(target=ask)
        asking.start()
        server.signal(signal.SIGHUP)
        server.says("shutdown", times=2)
        after = pids(server, port, 2)
        done.set()
        asking.join()
        assert before.isdisjoint(after)
        assert set(answers) == {"200"}
        assert "Worker" not in server.text
        server.signal(signal.SIGTERM)
        assert server.ends() == 0


@pytest.mark.parametrize("file", ["broken-import", "broken-start"])
def test_workers_that_cannot_start_end_it(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    with supervising(tmp_path, workers=2) as server:
        assert server.ends() == 1
        assert "could not start (exit code 1); giving up." in server.text
        assert "Serving" not in server.text


def test_a_refused_declaration_is_told_without_a_traceback(tmp_path: Path) -> None:
    with supervising(tmp_path, app="no/such/app.py", workers=1) as server:
        assert server.ends() == 1
        assert "no/such/app.py: there is no such file." in server.lines[0]
        assert "could not start (exit code 2); giving up." in server.lines[1]
        assert len(server.lines) == 2


def test_workers_that_no_longer_start_end_it_after_some_attempts(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=1) as server:
        worker = int(get(server.port())["x-pid"])
        (tmp_path / "broken-import").touch()
        os.kill(worker, signal.SIGKILL)
        assert server.ends() == 1
        ends = [line for line in server.lines if line.startswith("Worker ")]
        assert len(ends) == ATTEMPTS
        assert [line.partition("; ")[2] for line in ends] == [
            "starting another.",
            "starting another in 0.5 s.",
            "starting another in 1 s.",
            "starting another in 2 s.",
            "giving up.",
        ]


def test_a_worker_that_fails_leaves_its_connections_to_the_others(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=2) as server:
        port = server.port()
        victim, other = pids(server, port, 2)
        (tmp_path / "broken-import").touch()
        os.kill(victim, signal.SIGKILL)
        server.says("starting another in 0.5 s.")
        assert {get(port)["x-pid"] for _ in range(20)} == {str(other)}
        (tmp_path / "broken-import").unlink()
        assert other in pids(server, port, 2)
        server.signal(signal.SIGTERM)
        assert server.ends() == 0


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=2) as server:
        workers = pids(server, server.port(), 2)
        server.signal(signal.SIGKILL)
        server.ends()
        eventually(lambda: all(gone(pid) for pid in workers))
        assert {int(line.split()[1]) for line in server.lines if "shutdown" in line} == workers


def test_a_worker_told_twice_still_finishes_and_a_parent_told_twice_does_not(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=1, stop_timeout=3_000) as server:
        port = server.port()
        worker = int(get(port)["x-pid"])
        with Connection(port) as busy:
            busy.begin("/")
            os.kill(worker, signal.SIGTERM)
            server.signal(signal.SIGTERM)  # as a service manager does that signals a whole group
            eventually(lambda: refuses(port))
            assert not gone(worker)
            busy.send(b"abc")
            assert busy.head()[""] == "200"
        assert server.ends() == 0
    with supervising(tmp_path, workers=1, stop_timeout=3_000) as server:
        port = server.port()
        worker = int(get(port)["x-pid"])
        with Connection(port) as stuck:
            stuck.begin("/")
            server.signal(signal.SIGTERM)
            eventually(lambda: refuses(port))
            server.signal(signal.SIGTERM)
            assert server.ends() == 1
            assert gone(worker)


def test_a_port_in_use_is_refused_though_workers_may_share_one(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=1) as first:
        port = first.port()
        with supervising(tmp_path, workers=1, port=port) as second:
            assert second.ends() == 2
            assert second.lines == [
                f"RAMET_PORT: 127.0.0.1:{port} cannot be used: Address already in use. "
                "Stop what uses it, or choose another with --port."
            ]
        with serving(tmp_path, port=port) as third:
            assert third.ends() == 1


def test_becoming_a_supervisor_keeps_the_process_and_its_settings(tmp_path: Path) -> None:
    program = f"""
from ramet.settings import Settings
from ramet.topology.single.handover import become
become("ramet.topology.single.supervisor", {PLAIN!r}, settings=Settings(port=0, workers=1, secret="not shown"))
"""
    server = Running(["-c", program], tmp_path)
    try:
        worker = int(get(server.port())["x-pid"])
        for pid in (server.process.pid, worker):
            assert b"not shown" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert children(server.process.pid) == [worker]
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
    finally:
        server.close()
