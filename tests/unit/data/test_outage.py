"""What shows that a primary is down, what does not, and from when on nothing can have been committed then."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from ramet.data.engines import engine_part
from ramet.observe import Lifecycle, Observer
from tests import databases

hosts = engine_part("postgresql://h/d", "hosts")
beat = engine_part("postgresql://h/d", "beat")
outage = engine_part("postgresql://h/d", "outage")


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def mute() -> Iterator[str]:
    """An address that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_an_address_of_several_hosts_is_one_for_each() -> None:
    found = hosts.each("postgresql://u:p%40ss@db1:1,db2/n?sslmode=verify-full&x=1")
    assert found == [
        "postgresql://u:p%40ss@db1:1/n?sslmode=verify-full&x=1",
        "postgresql://u:p%40ss@db2/n?sslmode=verify-full&x=1",
    ]
    assert hosts.each("postgresql://[::1]:5433/n") == ["postgresql://[::1]:5433/n"]


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), True),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), True),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 113] b"), False),
        (OSError(errno.EHOSTUNREACH, "no"), False),
        (ConnectionResetError(errno.ECONNRESET, "no"), False),
        (TimeoutError(), False),
        (ValueError("[Errno 111]"), False),
    ],
)
def test_only_a_refusal_on_every_address_shows_that_nobody_listens(error: Exception, means: bool) -> None:
    assert hosts.refused(error) is means


async def test_hosts_show_that_nothing_is_committed_only_if_all_do(closed: str, mute: str) -> None:
    server = databases.server().url("postgres")
    up = server.partition("@")[2].partition("/")[0]

    async def shown(*names: str) -> bool | None:
        found: bool | None = await hosts.commits_nowhere(f"postgresql://ramet@{','.join(names)}/postgres", 5.0)
        return found

    assert await shown(closed) is True
    assert await shown(closed, closed) is True
    assert await shown(closed, up) is False
    assert await hosts.commits_nowhere(f"postgresql://ramet@{closed},{mute}/postgres", 0.2) is None


async def test_a_host_that_says_nothing_does_not_keep_the_next_from_being_found(mute: str) -> None:
    server = databases.server().url("postgres")
    up = server.partition("@")[2]
    driver = await hosts.connect(f"postgresql://ramet@{mute},{up}", silence=4.0, timeout=60.0)
    try:
        assert await driver.fetchval("SELECT 1") == 1
        sock = driver._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    finally:
        await driver.close()


async def test_what_the_last_host_says_is_raised(closed: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        await hosts.connect(f"postgresql://ramet@{closed},{closed}/postgres", silence=4.0, timeout=5.0)


def test_a_beat_is_dated_rather_too_early_and_only_in_its_own_history() -> None:
    mark = beat.Mark(began=100.0, timeline="00000001", place=5, clock=9_000_000)
    assert mark.moment("00000001 9000000", now=100.0) == 100.0
    assert mark.moment("00000001 8500000", now=100.0) == 99.5
    later = mark.moment("00000001 19000000", now=200.0)
    assert 109.9 < later < 110.0
    assert mark.moment("00000001 999000000", now=200.0) == 200.0, "never in the future"
    assert mark.moment("00000002 9000000", now=100.0) == float("-inf")


class Watched:
    """An outage with a clock of its own. `follow` is what replicas show."""

    def __init__(self, url: str, limit: float = 60.0) -> None:
        self.now = 1_000.0
        self.follow: bool | None = True
        self.held: list[tuple[float, float]] = []
        self.told: list[str] = []
        observer = Observer()
        observer.subscribe(Lifecycle, lambda event: self.told.append(event.detail))
        self.outage = outage.Outage(
            url,
            limit,
            1.0,
            observer,
            follow=lambda: self.follow,
            hold=lambda since, now: self.held.append((since, now)),
            clock=lambda: self.now,
        )
        self.outage.heard(self.now)

    async def after(self, seconds: float) -> bool:
        self.now += seconds
        await self.outage.look()
        return bool(self.outage.down)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown by hosts that refuse at once is not up to how busy the machine is."""
    monkeypatch.setattr(outage, "PATIENCE", 30.0)


@pytest.mark.usefixtures("patient")
async def test_time_stands_still_while_it_is_proved_that_the_primary_is_down(closed: str) -> None:
    watched = Watched(f"postgresql://ramet@{closed}/d")
    assert not await watched.after(0.1), "it has not been quiet for long"
    assert watched.held == []
    assert await watched.after(0.4)
    assert watched.outage.as_of() == 1_000.5
    assert await watched.after(0.9)
    assert (watched.outage.as_of(), watched.held) == (1_000.5, [(1_000.5, 1_000.5), (1_000.5, 1_001.4)])
    watched.now += 1.1
    assert watched.outage.as_of() == watched.now, "no proof for longer than the bound"
    assert await watched.after(0.0)
    assert watched.outage.as_of() == 1_000.5
    watched.outage.heard(watched.now)
    assert not watched.outage.down
    assert [told.startswith("It is down") for told in watched.told] == [True, False]


@pytest.mark.usefixtures("patient")
async def test_it_ends_with_its_limit_and_begins_anew_after_a_gap(closed: str) -> None:
    watched = Watched(f"postgresql://ramet@{closed}/d", limit=2.0)
    assert await watched.after(1.0)
    assert not await watched.after(2.5)
    watched = Watched(f"postgresql://ramet@{closed}/d")
    assert await watched.after(1.0)
    assert await watched.after(outage.GAP + 1.0)
    assert watched.outage.as_of() == watched.now, "the primary may have been back in between"


@pytest.mark.usefixtures("patient")
async def test_a_replica_that_was_promoted_or_says_nothing_is_no_proof(closed: str, mute: str) -> None:
    watched = Watched(f"postgresql://ramet@{closed}/d")
    watched.follow = None
    assert not await watched.after(1.0)
    watched.follow = False
    assert not await watched.after(1.0)
    watched.follow = True
    assert await watched.after(1.0)
    watched.follow = False
    assert not await watched.after(0.1), "promoted since"
