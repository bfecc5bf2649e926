"""`ramet up` as a person runs it: all parts work together, what dies comes back, and nothing is left at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.process.client import connected
from tests.process.commands import ramet
from tests.process.harness import LEDGER, RAMET, Running, children
from tests.process.loading import Persistent
from tests.process.streams import watching
from tests.topologies import Topology, alive, topology

ENTRIES = "/api/v1/entries"


@pytest.fixture(scope="module")
def up() -> Iterator[Topology]:
    with topology(LEDGER, "--replicas", "1", access_log=True) as found:
        yield found


@pytest.fixture
def well(up: Topology) -> Topology:
    """The topology, with every part at work."""
    up.until(up.all_well)
    return up


def test_requests_are_shared_by_all_instances_and_their_data_is_one(well: Topology) -> None:
    pids = {row.pid for name, row in well.rows().items() if name.startswith("instance")}
    assert len(pids) == 3
    with httpx.Client(base_url=well.url, timeout=60) as client:

        def asked() -> bool:  # nginx leaves one out for a while after errors
            return {client.get(f"{ENTRIES}/worker").json() for _ in range(60)} == pids

        well.until(asked)
        for number in range(20):
            made = client.post(ENTRIES, json={"key": f"shared-{os.getpid()}-{number}"})
            assert made.status_code == 201, made.text
            position = {"ramet-position": made.headers["ramet-position"]}
            found = client.get(f"{ENTRIES}/{made.json()['id']}", headers=position)
            assert found.json()["key"] == made.json()["key"]


def test_a_request_has_one_id_in_every_log(well: Topology) -> None:
    name = f"traced-{os.urandom(4).hex()}"
    answer = well.ask("GET", ENTRIES, headers={"x-request-id": name})
    assert answer.headers["x-request-id"] == name
    assert answer.headers["x-content-type-options"] == "nosniff"

    def logged() -> bool:
        return all(any(name in path.read_text() for path in paths) for paths in logs)

    folder = well.kept / "logs"
    logs = [[folder / "access.log"], list(folder.glob("instance-*.log"))]
    well.until(logged)


def test_bodies_that_the_application_compressed_pass_as_they_are(well: Topology) -> None:
    made = well.ask("POST", ENTRIES, json={"key": f"long-{os.urandom(4).hex()}", "note": "long " * 1_000})
    known = {"ramet-position": made.headers["ramet-position"]}
    for coding in ("br", "gzip", "zstd"):
        answer = well.ask("GET", f"{ENTRIES}?limit=100", headers={"accept-encoding": coding, **known})
        assert answer.headers["content-encoding"] == coding
        assert not answer.headers["etag"].startswith("W/")


async def test_events_pass_at_once_whichever_instance_they_come_from(well: Topology) -> None:
    async with (
        watching(well.port, "resource=entries&group=seen") as one,
        watching(well.port, "resource=entries") as two,
    ):
        for source in (one, two):
            await source.until("ready")
        key = f"seen-{os.urandom(4).hex()}"
        async with connected(well.port) as (client,):
            assert (await client.ask("POST", ENTRIES, {"key": key, "group": "seen"})).status == 201
        for source in (one, two):
            while (await source.until("created")).data["record"]["key"] != key:
                pass  # what another test has written may be told after `ready`


async def test_no_safe_request_fails_when_an_instance_is_killed(well: Topology) -> None:
    victim = well.rows()["instance 2"]
    assert victim.pid is not None
    answered = asyncio.Event()
    done = asyncio.Event()
    statuses: list[int] = []

    async def read(link: Persistent) -> None:
        while not done.is_set():
            statuses.append((await link.ask("GET", f"{ENTRIES}?group=g{len(statuses)}")).status)
            if len(statuses) > 40:
                answered.set()
        link.close()

    readers = [asyncio.create_task(read(Persistent(well.port))) for _ in range(4)]
    await answered.wait()
    os.kill(victim.pid, signal.SIGKILL)

    def back() -> bool:
        row = well.rows()["instance 2"]
        return row.state == "ready" and row.pid != victim.pid

    await asyncio.to_thread(well.until, back)
    done.set()
    await asyncio.gather(*readers)
    assert set(statuses) == {200}
    row = well.rows()["instance 2"]
    assert (row.port, row.restarts) == (victim.port, victim.restarts + 1)
    assert "instance 2 ended (SIGKILL); starting it again." in well.said


@pytest.mark.parametrize("part", ["redis", "replica 1", "nginx", "postgres"])
def test_a_server_that_dies_comes_back_with_what_it_had(well: Topology, part: str) -> None:
    key = f"before-{part.replace(' ', '-')}-{os.urandom(4).hex()}"
    assert well.ask("POST", ENTRIES, json={"key": key}).status_code == 201
    before = well.rows()[part]
    assert before.pid is not None
    former = [before.pid, *children(before.pid)]
    # A server that forks is sent what ends its children too; a broken one takes them along by itself.
    os.kill(before.pid, signal.SIGQUIT if part in ("postgres", "replica 1") else signal.SIGKILL)
    well.until(lambda: well.rows()[part].pid not in (before.pid, None) and well.all_well())

    def found() -> bool:
        try:
            answer = well.ask("GET", f"{ENTRIES}?key={key}")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and [entry["key"] for entry in answer.json()["items"]] == [key]

    well.until(found)
    well.until(lambda: not any(map(alive, former)))


def test_a_second_one_in_the_folder_is_refused_and_the_first_goes_on(well: Topology) -> None:
    done = ramet(well.folder, "up", LEDGER, "--port", str(well.port + 1))
    assert done.code == 1
    assert "A topology runs in .ramet already" in done.err
    assert "ramet roll" in done.err
    well.until(well.all_well)


def test_a_port_that_is_taken_is_refused_by_name(well: Topology, tmp_path: Path) -> None:
    done = ramet(tmp_path, "up", LEDGER, "--port", str(well.port))
    assert (done.code, f"127.0.0.1:{well.port} cannot be used" in done.err) == (1, True)
    assert not (tmp_path / ".ramet" / "lock").exists()


def test_its_state_is_shown_to_whoever_may_read_the_folder(well: Topology) -> None:
    shown = ramet(well.folder, "up", "--status")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == well.url
    assert [line[:11].strip() for line in lines[2:]] == [
        "postgres",
        "replica 1",
        "redis",
        "instance 1",
        "instance 2",
        "instance 3",
        "nginx",
    ]
    assert (well.kept / "control").stat().st_mode & 0o077 == 0


def test_passwords_are_neither_in_arguments_nor_open_to_others(well: Topology) -> None:
    password = (well.kept / "kept.json").read_text().split('"password":"')[1].split('"')[0]
    assert len(password) >= 32
    lines = []
    for pid in well.pids():
        with suppress(FileNotFoundError, ProcessLookupError):  # servers have processes that come and go
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    assert len(lines) > len(well.rows())
    assert not [line for line in lines if password.encode() in line]
    for path in (Path(folder, name) for folder, _, names in os.walk(well.kept) for name in names):
        with suppress(FileNotFoundError):  # the database server has files and folders that come and go
            if path.is_file() and path.stat().st_size < 1_000_000 and password.encode() in path.read_bytes():
                assert path.stat().st_mode & 0o077 == 0, path
    done = subprocess.run(
        ["psql", f"postgresql://ramet:wrong@127.0.0.1:{well.rows()['postgres'].port}/ramet"], capture_output=True
    )
    assert b"password authentication failed" in done.stderr


def test_without_a_topology_other_commands_say_so(tmp_path: Path) -> None:
    for arguments in (("roll",), ("up", "--status")):
        done = ramet(tmp_path, *arguments)
        assert (done.code, done.out) == (1, "")
        assert done.err == "No topology runs in .ramet. Start one with `ramet up`.\n"
    assert list(tmp_path.iterdir()) == []


def test_it_stops_with_nothing_left_and_starts_again_where_it_was() -> None:
    found = Topology(LEDGER, "--instances", "2", "--replicas", "0", "--no-redis", "--pgbouncer")
    try:
        found.start()
        assert set(found.rows()) == {"postgres", "pgbouncer", "instance 1", "instance 2", "nginx"}
        ports = {name: row.port for name, row in found.rows().items()}
        assert found.ask("POST", ENTRIES, json={"key": "kept"}).status_code == 201
        pids = found.pids()
        assert len(pids) > 8
        assert found.stop() == 0, found.said
        found.until(lambda: not any(map(alive, pids)))
        assert [name for name in ("control", "lock", "nginx/nginx.pid") if (found.kept / name).exists()] == []
        assert "killed" not in found.said
        found.start()
        assert {name: row.port for name, row in found.rows().items()} == ports
        assert [entry["key"] for entry in found.ask("GET", ENTRIES).json()["items"]] == ["kept"]
        assert "Making a new database server" not in found.said
    finally:
        found.remove()


def test_when_it_is_killed_its_parts_go_too_and_the_next_start_works() -> None:
    found = Topology(LEDGER, "--instances", "1", "--replicas", "0", "--no-redis")
    try:
        found.start()
        assert found.running is not None
        pids = found.pids()
        found.running.signal(signal.SIGKILL)
        found.running.close()
        found.until(lambda: not any(map(alive, pids)))
        found.start()
        assert found.ask("GET", ENTRIES).status_code == 200
    finally:
        found.remove()


def test_an_application_that_cannot_start_leaves_nothing_running(tmp_path: Path) -> None:
    found = Topology("app.py", "--instances", "1", "--replicas", "0", "--no-redis")
    (found.folder / "app.py").write_text(
        "from ramet import App, Resource\n\n\nclass Task(Resource):\n    title: str\n\n\n"
        "class Broken(App):\n    async def open(self) -> None:\n        raise RuntimeError('it is broken')\n\n\n"
        "app = Broken(resources=[Task])\n"
    )
    try:
        running = Running([RAMET, "up", "app.py", "--port", str(found.port), "--no-redis"], found.folder)
        assert running.process.wait(180) == 1
        running.close()
        assert "it is broken" in running.text
        assert "Everything has stopped." in running.text
        assert not (found.kept / "postgres" / "data" / "postmaster.pid").exists()
    finally:
        found.remove()
