"""A parent and its workers: dying workers are replaced, nothing queued is lost, and all of it stops as one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ramet.topology.single.supervisor import ATTEMPTS
from tests.postgres import free_port
from tests.process.harness import PLAIN, Connection, Running, children, eventually, get, refuses, serving, supervising
from tests.topologies import alive


def pids(server: Running, port: int, count: int) -> set[int]:
    """The workers, once requests have met so many different ones."""
    found: set[int] = set()

    def met() -> bool:
        found.add(int(get(port)["x-pid"]))
        return len(found) == count

    eventually(met)
    assert found <= set(children(server.process.pid))
    return found


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
        assert all(not alive(pid) for pid in workers)
        assert len(server.lines) == 3, server.text


def test_a_dying_worker_is_replaced_and_what_is_queued_waits_for_the_next(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=1) as server:
        port = server.port()
        first = int(get(port)["x-pid"])
        os.kill(first, signal.SIGKILL)
        eventually(lambda: not alive(first))
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


def test_connections_made_while_a_worker_stops_wait_for_the_next(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=1) as server:
        port = server.port()
        with Connection(port) as silent:
            first = get(port)["x-pid"]  # the one before it is accepted too
            server.signal(signal.SIGHUP)
            eventually(lambda: get(port)["x-pid"] != first)
            assert silent.closed()
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
        eventually(lambda: all(not alive(pid) for pid in workers))
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
            assert alive(worker)
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
            assert not alive(worker)


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


def test_a_port_is_taken_before_its_workers_listen(tmp_path: Path) -> None:
    (tmp_path / "slow-import").touch()
    port = free_port()
    with supervising(tmp_path, workers=2, port=port) as first:
        first.says("importing", times=2)
        with supervising(tmp_path, workers=1, port=port) as second:
            assert second.ends() == 2
            assert "Address already in use" in second.text
        (tmp_path / "slow-import").unlink()
        assert first.port() == port
        first.signal(signal.SIGTERM)
        assert first.ends() == 0
        with supervising(tmp_path, workers=1, port=port) as third:
            assert third.port() == port


def test_a_port_is_free_while_its_workers_only_finish(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=2) as first:
        port = first.port()
        with Connection(port) as busy:
            busy.begin("/")
            first.signal(signal.SIGTERM)
            eventually(lambda: refuses(port))
            with supervising(tmp_path, workers=2, port=port) as second:
                assert second.port() == port
            busy.send(b"abc")
            assert busy.head()[""] == "200"
        assert first.ends() == 0


def test_the_name_of_a_port_that_another_user_took_keeps_nobody_from_it(tmp_path: Path) -> None:
    """Its own user keeps it: that is who holds it where this does not run as root."""
    port = free_port()
    us = os.geteuid()
    taken = f"""
import os, socket, sys
if {us} == 0:
    os.setuid(65_534)
held = socket.socket(socket.AF_UNIX)
held.bind("\\0ramet {us} 127.0.0.1 {port}")
held.listen()
print("taken", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", taken], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"taken\n"
        with supervising(tmp_path, workers=1, port=port) as server:
            if us == 0:
                assert server.port() == port
            else:
                assert server.ends() == 2
        other.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_that_are_told_to_stop_while_they_start_do(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "slow-import").touch()
    with supervising(tmp_path, workers=2) as server:
        server.says("importing", times=2)
        server.signal(number)
        assert server.ends() == 0
        assert "Serving" not in server.text
        assert "Traceback" not in server.text


def test_code_that_does_not_start_replaces_no_worker_but_the_first(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=2) as server:
        port = server.port()
        before = pids(server, port, 2)
        (tmp_path / "broken-import").touch()
        server.signal(signal.SIGHUP)
        server.says("starting another in 1 s.")
        (left,) = (pid for pid in before if alive(pid))
        assert {int(get(port)["x-pid"]) for _ in range(20)} == {left}
        (tmp_path / "broken-import").unlink()
        eventually(lambda: not alive(left))
        assert before.isdisjoint(pids(server, port, 2))
        server.signal(signal.SIGTERM)
        assert server.ends() == 0


def test_a_worker_is_replaced_once_the_one_before_serves(tmp_path: Path) -> None:
    with supervising(tmp_path, workers=3) as server:
        before = pids(server, server.port(), 3)
        (tmp_path / "slow-import").touch()
        server.signal(signal.SIGHUP)
        server.says("importing")
        assert sum(map(alive, before)) == 2
        (tmp_path / "slow-import").unlink()
        eventually(lambda: not any(map(alive, before)))
        assert before.isdisjoint(pids(server, server.port(), 3))
        server.signal(signal.SIGTERM)
        assert server.ends() == 0


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
