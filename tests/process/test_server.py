"""One process: it stops gracefully, in bounded time, and says what is wrong when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.process.harness import PLAIN, Connection, Running, children, eventually, get, refuses, serving, supervising


def is_answered(port: int) -> bool:
    """Whether a connection of its own gets an answer, soon."""
    with Connection(port) as connection:
        connection.socket.settimeout(0.3)
        try:
            return connection.get("/") != {}
        except TimeoutError:
            return False


def test_stopping_finishes_what_is_in_flight_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        port = server.port()
        with Connection(port) as busy, Connection(port) as idle, Connection(port) as fresh:
            assert idle.get("/")["x-draining"] == "False"
            busy.begin("/")
            server.signal(signal.SIGTERM)
            eventually(lambda: refuses(port))
            assert idle.closed()
            assert fresh.closed()
            assert server.process.poll() is None
            assert "shutdown" not in server.text
            busy.send(b"abc")
            answer = busy.head()
            assert (answer[""], answer["connection"]) == ("200", "close")
            assert busy.file.read(3) == b"abc"
            assert busy.closed()
            assert server.ends() == 0
        assert [line for line in server.lines if "shutdown" in line] == [f"shutdown {server.process.pid}"]
        assert len(server.lines) == 2, server.text


def test_connections_that_were_just_made_are_heard_before_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path, hearing=3_000) as server:
        port = server.port()
        with Connection(port) as first, Connection(port) as second, Connection(port) as known:
            server.signal(signal.SIGTERM)
            eventually(lambda: known.get("/").get("connection") == "close")
            eventually(lambda: not is_answered(port))
            for fresh in (first, second):
                answer = fresh.get("/")
                assert (answer[""], answer["connection"]) == ("200", "close")
        assert server.ends() == 0


def test_load_balancers_have_time_to_learn_that_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path, drain_delay=6.0) as server:
        port = server.port()
        with Connection(port) as known, Connection(port) as idle:
            assert "connection" not in known.get("/")
            assert "connection" not in idle.get("/")
            server.signal(signal.SIGTERM)
            eventually(lambda: get(port)["x-draining"] == "True")
            answer = known.get("/")
            assert (answer[""], answer["x-draining"], answer["connection"]) == ("200", "True", "close")
            assert known.closed()
            assert server.process.poll() is None, "connections without a request stay, in case one is coming"
            assert idle.closed()
        assert server.ends() == 0
        assert refuses(port)


def test_connections_that_were_left_open_are_outlasted(tmp_path: Path) -> None:
    with serving(tmp_path, drain_delay=5.0) as server:
        port = server.port()
        with Connection(port) as busy:
            busy.begin("/")
            server.signal(signal.SIGTERM)
            eventually(lambda: get(port)["x-draining"] == "True")
            busy.send(b"abc")
            answer = busy.head()
            assert "connection" not in answer, "it was begun before anybody knew of the stop"
            assert busy.file.read(3) == b"abc"
            assert busy.get("/")["connection"] == "close"
        assert server.ends() == 0


@pytest.mark.parametrize("after", [(), (signal.SIGTERM,)])
def test_ctrl_c_does_not_wait_for_load_balancers(tmp_path: Path, after: tuple[int, ...]) -> None:
    with supervising(tmp_path, workers=1, drain_delay=3_000) as parent:
        parent.port()
        for number in after:
            parent.signal(number)
        (child,) = children(parent.process.pid)
        os.kill(child, signal.SIGINT) if after else parent.signal(signal.SIGINT)
        assert parent.ends() == 0


def test_ctrl_c_stops_it_too(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert get(server.port())[""] == "200"
        server.signal(signal.SIGINT)
        assert server.ends() == 0
        assert "Traceback" not in server.text


def test_what_does_not_finish_is_cut_off_after_the_stop_timeout(tmp_path: Path) -> None:
    with serving(tmp_path, stop_timeout=0.3) as server, Connection(server.port()) as stuck:
        stuck.send(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        server.says("never")
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
        said = [line.split()[0] for line in server.lines[2:]]
        assert said == ["Requests", "cancelled", "shutdown"], server.text
        assert stuck.head()[""] == "503"


def test_websockets_end_before_the_application_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as server, connect(f"ws://127.0.0.1:{server.port()}/socket") as socket:
        assert socket.recv() == "hello"
        server.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            socket.recv()
        assert server.ends() == 0
        assert [line.split()[0] for line in server.lines] == ["Serving", "left", "shutdown"]


def test_half_a_request_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    with serving(tmp_path, quiet=0.2, stop_timeout=3_000) as server, Connection(server.port()) as slow:
        slow.get("/")
        slow.send(b"GET / HTTP/1.1\r\nHost:")
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
        assert "shutdown" in server.lines[-1]


def test_an_application_that_does_not_stop_is_left(tmp_path: Path) -> None:
    (tmp_path / "slow-stop").touch()
    with serving(tmp_path, stop_timeout=0.2) as server:
        server.port()
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
        assert "did not stop in time" in server.text


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, stop_timeout=3_000) as server, Connection(server.port()) as stuck:
        port = server.port()
        stuck.send(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        server.says("never")
        server.signal(signal.SIGTERM)
        eventually(lambda: refuses(port))
        server.signal(signal.SIGTERM)
        assert server.ends() == 1
        assert "shutdown" not in server.text


def test_it_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    (tmp_path / "slow-start").touch()
    with serving(tmp_path) as server:
        server.says("starting")
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
        assert "Serving" not in server.text


def test_a_start_that_does_not_end_is_left(tmp_path: Path) -> None:
    (tmp_path / "stubborn-start").touch()
    with serving(tmp_path, stop_timeout=0.5) as server:
        server.says("starting")
        server.signal(signal.SIGTERM)
        assert server.ends() == 0
        assert server.lines[-1] == "The application did not stop in time and was left."


def test_connections_that_send_nothing_are_closed(tmp_path: Path) -> None:
    with serving(tmp_path, idle_timeout=2.0) as server:
        port = server.port()
        with Connection(port) as fresh, Connection(port) as slow:
            slow.send(b"GET / HTTP/1.1\r\nHost: a\r\nX:")
            for connection in (fresh, slow):
                assert connection.closed()

        def answered_then_closed() -> bool:
            with Connection(port) as idle, suppress(ConnectionError):
                idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                return idle.file.read().startswith(b"HTTP/1.1 200")
            return False  # who was held up before it asked was closed without an answer

        eventually(answered_then_closed)
        assert get(port)[""] == "200"


def test_connections_beyond_the_limit_wait_their_turn(tmp_path: Path) -> None:
    with serving(tmp_path, connection_limit=16) as server:
        port = server.port()
        held = [Connection(port) for _ in range(16)]
        for connection in held:
            assert connection.get("/")[""] == "200"
        with Connection(port) as waiting:
            waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting.socket.recv(1)
            waiting.socket.settimeout(60)
            held[0].__exit__()
            assert waiting.socket.recv(12) == b"HTTP/1.1 200"
        for connection in held[1:]:
            connection.__exit__()


def test_a_second_server_on_the_port_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        port = first.port()
        with serving(tmp_path, port=port) as second:
            assert second.ends() == 1
            assert f"RAMET_PORT: 127.0.0.1:{port} cannot be used: Address already in use." in second.lines[-1]
        assert get(port)["x-pid"] == str(first.process.pid)


@pytest.mark.parametrize(("file", "message"), [("broken-import", "is broken"), ("broken-start", "cannot start")])
def test_what_the_application_raises_at_its_start_ends_the_process(tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / file).touch()
    with serving(tmp_path) as server:
        assert server.ends() == 1
        assert message in server.lines[-1]
        assert "Serving" not in server.text


def test_it_listens_where_it_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, host="localhost") as server:
        assert get(server.port())[""] == "200"
    with serving(tmp_path, host="no.such.host.invalid") as server:
        assert server.ends() == 1
        assert "RAMET_HOST" in server.lines[-1]


def test_ipv6_is_served_and_shown_in_brackets(tmp_path: Path) -> None:
    with serving(tmp_path, host="::1") as server:
        line = server.says("Serving http://[::1]:")
        with socket.create_connection(("::1", int(line.rpartition(":")[2]))) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_granian_leaves_logging_as_it_was(tmp_path: Path) -> None:
    program = f"""
import logging
from pathlib import Path
from functools import partial
from ramet.settings import Settings
from ramet.topology.loading import load_app
from ramet.topology.single.server import serve
handler = logging.FileHandler("log.txt")
logging.getLogger().addHandler(handler)
serve(partial(load_app, {PLAIN!r}), Settings(port=0))
assert handler.stream is not None and not handler.stream.closed
logging.getLogger("ours").warning("after")
"""
    server = Running(["-c", program], tmp_path)
    try:
        server.port()
        server.signal(signal.SIGTERM)
        assert server.ends() == 0, server.text
        assert (tmp_path / "log.txt").read_text() == "after\n"
    finally:
        server.close()
