"""The floor and the peer as they are really started."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.ask import Asker, WrongAnswer
from benchmarks.load import Request
from benchmarks.servers import Cores, Server, ServerFailed, free_port
from benchmarks.subjects import Peer, start_floor
from benchmarks.works import TASKS_EACH


@contextmanager
def stopped_after(server: Server) -> Iterator[Asker]:
    asker = Asker(server.port)
    try:
        yield asker
    finally:
        asker.close()
        server.stop()


def test_the_floor_answers_as_many_bytes_as_it_is_told_and_leaves_nothing_running(tmp_path: Path) -> None:
    server = start_floor(123, tmp_path, Cores.available())
    with stopped_after(server) as asker:
        for request in (Request("GET", "/anything"), Request("POST", "/", "token", b'{"title":"x"}')):
            answer = asker.ask(request, 200)
            assert answer.body == b"x" * 123
        weight = server.weigh()
        assert weight.processes >= 1
        assert weight.resident >= weight.shared_once > 1_000_000
        assert server.busy() > 0
    assert server.weigh().processes == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_the_peer_does_each_work_and_only_for_the_owner(tmp_path: Path) -> None:
    peer, cores = Peer(), Cores.available()
    peer.fill(tmp_path, cores, 2)
    server = peer.start(tmp_path, cores)
    with stopped_after(server) as asker:
        tokens = [asker.ask(peer.sign_in(person)).document()["access_token"] for person in range(2)]
        page = peer.check("list", Request("GET", "/tasks?status=pending&limit=20", tokens[0]), asker).document()
        assert {task["status"] for task in page["items"]} == {"pending"}
        created = [task["created_at"] for task in page["items"]]
        assert created == sorted(created, reverse=True)
        path = f"/tasks/{page['items'][0]['id']}"
        assert peer.check("record", Request("GET", path, tokens[0]), asker).document() == page["items"][0]
        asker.ask(Request("GET", path, tokens[1]), 404)
        draft = Request("POST", "/tasks", tokens[0], json.dumps({"title": "new"}).encode())
        made = peer.check("create", draft, asker).document()
        assert made["status"] == "pending"
        everything = asker.ask(Request("GET", "/tasks?limit=100", tokens[0])).document()["items"]
        assert len(everything) == TASKS_EACH + 1
        with pytest.raises(WrongAnswer, match="422"):
            asker.ask(Request("POST", "/tasks", tokens[0], b'{"title":""}'))


def test_a_server_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    line = ["/bin/sh", "-c", "echo no such file; exit 3"]
    server = Server(line, free_port(), tmp_path / "log", {}, Cores.available())
    with pytest.raises(ServerFailed, match=r"ended with 3:\nno such file"):
        server.wait("/")
    server.stop()
