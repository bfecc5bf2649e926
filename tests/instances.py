"""Where scenarios run: in this process, or with RAMET_TEST_TOPOLOGY as several instances behind nginx.

The test's `App` is then the first of them. Over ASGI it is what clients see: each request goes through the balancer to
any instance, over sockets, served as `ramet serve` does it. In Python it is the one instance, as before. All share the
test's clock, and each has its own connections, caches and followers.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import math
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import msgspec

from ramet.app import App
from ramet.changes.follower import Follower
from ramet.errors import Problem
from ramet.interfaces.realtime.sse import EventStream
from ramet.limits.overload import LoopLag
from ramet.settings import Settings
from ramet.topology.nginx.configuration import configuration
from ramet.topology.nginx.front import Front as Described
from ramet.topology.single.listener import listen, open_up
from ramet.topology.single.server import EmbeddedServer, run_worker
from tests import databases
from tests.balancers import Balancer
from tests.databases import TOPOLOGY, WITH_PGBOUNCER, WITHOUT_REDIS
from tests.postgres import LOOPBACK, START_SECONDS, Server
from tests.redis import Server as Redis
from tests.wire import Wire

INSTANCES = 3
PATIENCE = 30.0
PORTS = range(20_000, 30_000)
"""Below those that outgoing connections take: nobody else comes to them between two tests."""
COPIED = 0.002
POOLER = """
[databases]
* = host=127.0.0.1 port={server} user=ramet
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 1000
server_idle_timeout = 2
ignore_startup_parameters = extra_float_digits
"""

count = INSTANCES
"""How many instances the next application has; tests that look into one have one."""


def application(**declared: Any) -> App:
    """An application as it runs in the chosen topology."""
    if TOPOLOGY:
        return Balanced(**declared)
    app = App(**declared)
    app._lag = LoopLag(math.inf)  # as in Balanced, and a busy machine holds up the event loop as well
    return app


def each(app: App) -> list[App]:
    """All instances of an application."""
    return app.instances if isinstance(app, Balanced) else [app]


async def told(app: App) -> None:
    """Lets the other instances learn what one of them has committed, and the replica: they do within a moment."""
    if isinstance(app, Balanced) and len(app.instances) > 1:
        for one in app.instances:
            await one.feed.catch_up()
    await replayed(app)


async def replayed(app: App) -> None:
    """Waits until the replica has what is committed, for clients that show no position of it."""
    if not isinstance(app, Balanced):
        return
    store: Any = app.store
    [[place]] = await store._pool.read("SELECT pg_current_wal_flush_lsn()::text", ())
    deadline = time.monotonic() + PATIENCE
    for one in store.replicas.all:
        while not await _has(one, place):
            assert time.monotonic() < deadline
            await asyncio.sleep(COPIED)  # waits: for the replica, at most PATIENCE


async def _has(replica: Any, place: str) -> bool:
    """Whether a replica has come to a place, as far as it tells: its connections may be given up when it is slow."""
    try:
        found = await replica.pool.read("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", (place,))
    except Problem:
        return False
    return bool(found[0][0])


def silent(app: App) -> None:
    """Clients show no position but what the test has them show."""
    if isinstance(app, Balanced):
        app.wire.echoes = False


class Balanced(App):
    """Several instances behind a balancer, started and stopped as one; itself the first of them."""

    wire: Wire

    def __init__(self, **declared: Any) -> None:
        super().__init__(**declared)
        self._declared = {name: value for name, value in declared.items() if name != "clock"}
        self.instances: list[App] = []
        self._served: list[Served] = []
        self._front: Front | None = None
        self._lag = LoopLag(math.inf)  # tests hold up the event loop, which all instances have in common

    def configure(self, settings: Settings) -> None:
        """The same settings, with the addresses of this topology."""
        name = settings.database_url.rpartition("/")[2]
        super().configure(
            msgspec.structs.replace(
                settings,
                database_url=entrance(databases.server().port, name),
                replica_urls=(entrance(replica().port, name),),
                redis_url="" if TOPOLOGY == WITHOUT_REDIS else redis().url,
                redis_timeout=5.0,
                trusted_proxies=(*settings.trusted_proxies, f"{LOOPBACK}/32"),
            )
        )

    async def startup(self) -> None:
        if self._served:
            return
        await asyncio.to_thread(copied)
        self.instances = [self]
        await super().startup()
        settings = self._settings
        assert settings is not None
        for _ in range(1, count):
            other = App(**self._declared, clock=lambda: self.clock())
            other.configure(settings)
            other._lag = LoopLag(math.inf)
            self.instances.append(other)
            await other.startup()
        self._front, listeners = lease(count, settings)
        self.wire = Wire(self._front.balancer.port, self._left)
        self._served = [Served(*pair, settings) for pair in zip(self.instances, listeners, strict=True)]
        observers = [app.observer for app in self.instances]
        own = [observer.subscribe for observer in observers]
        setattr(self.observer, "subscribe", lambda kind, subscriber: [to(kind, subscriber) for to in own])  # noqa: B010 - of this one
        setattr(self.realtime, "settled", self._settled)  # noqa: B010 - of this one
        follower: Any = self.feed
        applied = follower.applied

        def note(xid: int, changes: Any) -> None:
            self.wire.note(f"{follower.incarnation}-{xid}")  # what the test itself writes is written by a client too
            applied(xid, changes)

        follower.applied = note

    async def drain(self) -> None:
        for app in self.instances:
            await App.drain(app)

    async def shutdown(self) -> None:
        for app in self.instances:
            if len(app.realtime.streams):
                await app.realtime.drain()
        for served in self._served:
            await served.stop()
        for app in self.instances:
            await App.shutdown(app)
        if self._front is not None:
            self._front.free = True
        self._served = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            await self.wire(scope, receive, send)

    async def _settled(self) -> None:
        for app in self.instances:
            if isinstance(app.feed, Follower):
                await app.feed.poll()
            await app.handlers.watching.hub.settled()
        await self.wire.arrived(self._tell)

    def _tell(self, comment: bytes) -> None:
        for app in self.instances:
            for stream in app.realtime.streams.open():
                if isinstance(stream, EventStream):
                    stream.send(comment)

    async def _left(self) -> None:
        """Waits until the instances know of what clients have closed."""
        deadline = time.monotonic() + PATIENCE
        while sum(len(app.realtime.streams) for app in self.instances) > len(self.wire.streams) + self.wire.sockets:
            assert time.monotonic() < deadline
            self._tell(b":\n\n")  # a server that sends nothing sees no end
            await asyncio.sleep(COPIED)  # waits: for the end of a connection to pass nginx, at most PATIENCE


class Served:
    """An instance that serves a port."""

    def __init__(self, app: App, listener: socket.socket, settings: Settings) -> None:
        open_up(listener)
        self._server = EmbeddedServer(app, listener, settings)
        self._serving = asyncio.ensure_future(self._server.serve(partial(run_worker, lambda dispatcher: None)))  # type: ignore[arg-type]  # as in serve

    async def stop(self) -> None:
        """Raises TimeoutError when a connection does not end."""
        self._server.stop()  # type: ignore[no-untyped-call]  # granian does not annotate it
        async with asyncio.timeout(PATIENCE):
            await self._serving


class Front:
    """An nginx and the ports of the instances behind it, used by one application after the other."""

    def __init__(self, count: int, settings: Settings) -> None:
        self.free = False
        self.ports = list(itertools.islice(_unused, count))
        self.balancer = Balancer([f"{LOOPBACK}:{port}" for port in self.ports], settings)
        atexit.register(self.balancer.remove)
        self.balancer.start()


def lease(count: int, settings: Settings) -> tuple[Front, list[socket.socket]]:
    """A front that nobody uses, for instances with such settings, and the sockets of these."""
    kind = configuration(Described(upstreams=(f"{LOOPBACK}:1",) * count), settings)
    fronts = _fronts.setdefault(kind, [])
    front = next((front for front in fronts if front.free), None)
    if front is None:
        front = Front(count, settings)
        fronts.append(front)
    front.free = False
    return front, [listen(LOOPBACK, port) for port in front.ports]


def copied() -> None:
    """Waits until the replica has what the primary has."""
    place = databases.server().sql("SELECT pg_current_wal_lsn()")
    until(lambda: replica().sql(f"SELECT pg_last_wal_replay_lsn() >= '{place}'") == "t")


@cache
def replica() -> Server:
    """The streaming replica of the one server."""
    found = databases.server().replica("max_connections=500")
    atexit.register(found.remove)
    found.start()
    return found


@cache
def redis() -> Redis:
    """The one Redis of this run of the tests."""
    found = Redis()
    atexit.register(found.remove)
    found.start()
    return found


def entrance(port: int, name: str) -> str:
    """The address of a database on the server at a port, by the way that the topology takes."""
    return f"postgresql://ramet@{LOOPBACK}:{pooler(port) if TOPOLOGY == WITH_PGBOUNCER else port}/{name}"


@cache
def pooler(server: int) -> int:
    """The port of a PgBouncer in front of the server at a port."""
    host = databases.server()
    port = next(_unused)
    file = host.folder / f"pgbouncer-{server}.ini"
    file.write_text(POOLER.format(server=server, port=port))
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    with file.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, user=host.user)
    atexit.register(process.wait)
    atexit.register(process.kill)
    until(lambda: not host.run("pg_isready", "-q", "-h", LOOPBACK, "-p", str(port), check=False))
    return port


def until(holds: Callable[[], bool]) -> None:
    """Waits for a server."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(COPIED)  # waits: for a server, at most START_SECONDS


def _ports() -> Iterator[int]:
    start = random.Random(os.getpid()).randrange(len(PORTS))
    for number in itertools.count(start):
        port = PORTS[number % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        yield port


_unused = _ports()
_fronts: dict[str, list[Front]] = {}
