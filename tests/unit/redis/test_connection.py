"""The way to a real Redis, plain, over TLS and to a cluster: bounded in time, given up and found again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ramet.errors import SettingsError
from ramet.observe import Lifecycle, Observer
from ramet.redis import connection as connections
from ramet.redis.connection import PROBE_PAUSE, Connection, Unreachable
from ramet.redis.hints import RedisHints
from tests.redis import Cluster, Server

PATIENT = 5.0
UNASKED = "It has not answered yet."
COUNT = "return {redis.call('INCRBY', KEYS[1], ARGV[1]), KEYS[1]}"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start is told is not up to how busy the machine is."""
    monkeypatch.setattr(connections, "PROBE_TIMEOUT", 30.0)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder)
    files = ["--tls-cert-file", str(folder / "cert.pem"), "--tls-key-file", str(folder / "key.pem")]
    server = Server(*files, "--tls-auth-clients", "no", scheme="rediss", tls=True)
    server.url += f"?ssl_ca_certs={folder / 'cert.pem'}"
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["redis", "secure", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param).url)


@asynccontextmanager
async def connected(url: str, timeout: float = PATIENT, observer: Observer | None = None) -> AsyncIterator[Connection]:
    connection = Connection(url, observer or Observer(), timeout=timeout, connections=4)
    await connection.start()
    try:
        yield connection
    finally:
        await connection.stop()


@asynccontextmanager
async def answering(url: str) -> AsyncIterator[Connection]:
    """One that is used: the first look at a cluster may take longer than it is given."""
    async with connected(url) as connection:
        assert connection.trouble != UNASKED  # the start has looked
        await until(lambda: connection.available)
        yield connection


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)  # waits: for Redis, at most 2,000 times
    raise AssertionError("It did not happen within the deadline.")


async def test_what_is_kept_is_found_for_its_time(url: str) -> None:
    async with answering(url) as connection:
        assert await connection.get(b"none") is None
        await connection.put(b"a", b"\0\xff", 60)
        assert await connection.get(b"a") == b"\0\xff"
        await connection.put(b"b", b"1", 0.001)
        for _ in range(2_000):
            if await connection.get(b"b") is None:
                break
            await asyncio.sleep(0.01)  # waits: for the value to end, at most 2,000 times
        else:
            pytest.fail("It did not end.")


async def test_a_script_runs_whether_the_server_knows_it_or_not(url: str) -> None:
    async with answering(url) as connection:
        await connection.put(b"{n}:count", b"0", 60)
        assert [await connection.run(COUNT, [b"{n}:count"], [2]) for _ in range(2)] == [
            [2, b"{n}:count"],
            [4, b"{n}:count"],
        ]


async def test_more_callers_than_connections_wait_for_each_other_and_are_answered(url: str) -> None:
    names = [b"{%d}" % number for number in range(40)]
    async with answering(url) as connection:
        await asyncio.gather(*(connection.put(name, name, 60) for name in names))
        assert await asyncio.gather(*(connection.get(name) for name in names)) == names
        assert (connection.available, connection.failed) == (True, 0)


async def test_hints_wake_the_others_and_not_oneself(url: str) -> None:
    async with answering(url) as one, answering(url) as two:
        woken: list[str] = []
        hints = [RedisHints(connection, "log") for connection in (one, two)]
        hints[0].listen(lambda: woken.append("one"))
        hints[1].listen(lambda: woken.append("two"))
        for _ in range(2_000):
            await hints[0].hint()
            if woken:
                break
            await asyncio.sleep(0.01)  # waits: for the subscription, at most 2,000 times
        assert set(woken) == {"two"}


async def test_what_does_not_answer_is_given_up_and_found_again(redis: Server) -> None:
    told: list[str] = []
    observer = Observer()
    observer.subscribe(Lifecycle, lambda event: told.append(event.detail))
    async with connected(redis.url, 0.05, observer) as connection:
        redis.freeze()
        try:
            for _ in range(2):
                with pytest.raises(Unreachable):
                    await connection.get(b"a")
            assert not connection.available
            failed = connection.failed
            for _ in range(1_000):
                with pytest.raises(Unreachable, match="gone"):
                    await connection.get(b"a")
            assert connection.failed == failed  # nothing was asked
            assert connection.trouble
        finally:
            redis.thaw()
        await until(lambda: connection.available)
        assert connection.trouble == ""
        assert [detail.split(",")[0] for detail in told] == ["answers", "does not answer", "answers"]


@pytest.mark.parametrize(
    ("breaks", "mends", "why"),
    [
        (b"REPLICAOF 127.0.0.1 1", b"REPLICAOF NO ONE", "ReadOnlyError"),
        (b"CONFIG SET maxmemory 1", b"CONFIG SET maxmemory 0", "OutOfMemoryError"),
        (b"CONFIG SET min-replicas-to-write 1", b"CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
        (b"ACL SETUSER default -@scripting -set", b"ACL SETUSER default +@all", "NoPermissionError"),
        (b"ACL SETUSER default -hincrby -set", b"ACL SETUSER default +@all", "NoPermissionError"),
    ],
    ids=["replica", "full", "alone", "not allowed", "not allowed in part"],
)
async def test_one_that_takes_no_writes_is_left_out_until_it_does(
    redis: Server, breaks: bytes, mends: bytes, why: str
) -> None:
    told: list[str] = []
    observer = Observer()
    observer.subscribe(Lifecycle, lambda event: told.append(event.detail))
    async with connected(redis.url, observer=observer) as connection:
        connection.subscribe("hints", lambda message: None)
        for _ in range(2_000):
            if await order(redis, b"PUBSUB NUMSUB hints") == b"*2\r\n$5\r\nhints\r\n:1\r\n+OK\r\n":
                break
            await asyncio.sleep(0.01)  # waits: for the subscription, at most 2,000 times
        await connection.put(b"a", b"1", 60)
        before = await clients(redis)
        assert len(before) == 2
        await order(redis, breaks)
        try:
            with pytest.raises(Unreachable):
                await connection.put(b"a", b"2", 60)
            assert not connection.available
            assert why in connection.trouble
            assert connection.trouble.startswith("It refuses")
            if breaks.endswith(b"-set"):
                await order(redis, b"ACL SETUSER default +set")  # the rest is missing still
            await asyncio.sleep(3 * PROBE_PAUSE)  # waits: for probes that must not find it well
            assert not connection.available
            assert before.isdisjoint(await clients(redis))  # what its name stands for is looked up again
        finally:
            await order(redis, mends)
        await until(lambda: connection.available)
        await connection.put(b"a", b"3", 60)
        assert [detail.split(",")[0] for detail in told] == ["answers", "refuses what it is asked", "answers"]


async def order(server: Server, command: bytes) -> bytes:
    """What a server says to one command on a connection of its own."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(command + b"\r\nQUIT\r\n")
        return await reader.read()
    finally:
        writer.close()


async def clients(server: Server) -> set[bytes]:
    """The connections that others have to a server."""
    lines = (await order(server, b"CLIENT LIST")).splitlines()
    return {line.split()[0] for line in lines if line.startswith(b"id=") and b"cmd=client" not in line}


async def test_one_that_starts_later_is_found_and_subscriptions_come_back() -> None:
    server = Server()
    try:
        async with connected(server.url) as connection, connected(server.url) as other:
            assert not connection.available
            woken = asyncio.Event()
            RedisHints(connection, "log").listen(woken.set)
            server.start()
            await until(lambda: connection.available and other.available)
            server.restart()
            hints = RedisHints(other, "log")
            for _ in range(2_000):
                if other.available:
                    await hints.hint()
                if woken.is_set():
                    break
                await asyncio.sleep(PROBE_PAUSE / 50)  # waits: for both ways to come back, at most 2,000 times
            assert woken.is_set()
    finally:
        server.remove()


async def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Server) -> None:
    async with connected(secure.url.partition("?")[0]) as connection:
        assert not connection.available
        assert "ertificate" in connection.trouble or "CERTIFICATE" in connection.trouble


@pytest.mark.parametrize("url", ["http://a", "redis", "redis+sentinel://a", "redis://a/x?socket_timeout=b"])
def test_an_address_that_cannot_be_used_is_refused_with_its_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="RAMET_REDIS_URL"):
        Connection(url, Observer(), timeout=1, connections=1)


def certificate(folder: Path) -> None:
    """One for 127.0.0.1 that vouches for itself."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*line, *subject, *files], check=True, capture_output=True)


async def test_a_cluster_of_which_no_server_answers_is_as_gone_as_any_other(redis: Server) -> None:
    """The driver tells that by an error which is none of its own base class."""
    found = Cluster()
    async with connected(found.url, 0.2) as connection:
        try:
            assert not connection.available
            await asyncio.to_thread(found.start)
            for name in (b"a", b"b", b"c"):  # a server each; the first look may come before all are served
                for _ in range(2_000):
                    with suppress(Unreachable):
                        await connection.put(name, b"1", 60)
                        break
                    await asyncio.sleep(0.01)  # waits: for the cluster, at most 2,000 times
                assert connection.available
            for server in found.servers:
                server.stop()
            for _ in range(20):
                with pytest.raises(Unreachable):
                    await connection.get(b"a")
            assert not connection.available
            for server in found.servers:
                server.start()
            await until(lambda: connection.available)
        finally:
            found.remove()


async def test_who_gave_up_waiting_leaves_no_answer_to_the_next_who_asks(redis: Server) -> None:
    """The connections that were waited at say late what nobody asks any more."""
    names = [b"name %d" % number for number in range(20)]
    async with connected(redis.url) as patient, connected(redis.url, 0.05) as connection:
        for name in names:
            await patient.put(name, name, 600)
        for _ in range(3):
            await until(lambda: connection.available)
            redis.freeze()
            try:
                lost = await asyncio.gather(*(connection.get(name) for name in names), return_exceptions=True)
                assert all(isinstance(error, Unreachable) for error in lost)
            finally:
                redis.thaw()
            await until(lambda: connection.available)
            found = await asyncio.gather(*(connection.get(name) for name in names), return_exceptions=True)
            told = [(name, value) for name, value in zip(names, found, strict=True) if isinstance(value, bytes)]
            assert all(name == value for name, value in told)
