"""Thousands of subscribers on one instance: the memory of each, and how fast all of them are told."""

from __future__ import annotations

import json
import resource
import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ask import Asker, WrongAnswer, post
from benchmarks.engines import beside_load
from benchmarks.instances import CHEAP, register, sign_in
from benchmarks.report import say
from benchmarks.servers import Cores, Server
from benchmarks.subjects import serve_ramet
from benchmarks.works import SUBSCRIBER_BUDGET, Effort, draft

TASKS = "/api/v1/tasks"
WARM_UP = 200
"""Subscribers from before the first weighing: what is only needed once is there then."""
PATIENCE = 30.0
CALM = 1.0
"""Seconds before a weighing, in which the server does what it puts off."""
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_FREE = {"RAMET_STREAM_LIMIT_CALLER": "100000", "RAMET_STREAM_LIMIT_ADDRESS": "100000"}


@dataclass(frozen=True, slots=True)
class Kind:
    """How subscribers ask: `marker` is in each event they are told. With `alike` all share one view."""

    title: str
    websocket: bool
    alike: bool
    marker: bytes


KINDS = (
    Kind("server-sent events, the same for all", False, True, b"\nevent: created\n"),
    Kind("server-sent events, other filters for each", False, False, b"\nevent: created\n"),
    Kind("WebSocket, the same for all", True, True, b'"kind":"created"'),
)


@dataclass(frozen=True, slots=True)
class Crowd:
    """`each` is the memory of one subscriber in bytes; `told` events arrived in `seconds`, each for `cost` µs."""

    count: int
    each: float
    told: int
    seconds: float
    cost: float

    @property
    def rate(self) -> float:
        return self.told / self.seconds


@dataclass(slots=True)
class Subscribers:
    """What was found, by the title of the kind."""

    found: dict[str, Crowd] = field(default_factory=dict)

    def table(self) -> Sequence[Sequence[str]]:
        head = ("subscribers of one instance", "count", "memory each", "budget", "events told/s", "µs each")
        return [head, *(_row(title, crowd) for title, crowd in self.found.items())]

    def misses(self) -> list[str]:
        return [
            f"subscribers: {crowd.each / 1e3:.1f} kB each ({title}), more than {SUBSCRIBER_BUDGET / 1e3:g} kB"
            for title, crowd in self.found.items()
            if crowd.each > SUBSCRIBER_BUDGET
        ]

    def document(self) -> dict[str, Any]:
        found = {
            title: {"count": one.count, "bytes_each": one.each, "told_per_second": one.rate, "cost_us": one.cost}
            for title, one in self.found.items()
        }
        return {"budget": SUBSCRIBER_BUDGET, "kinds": found}


def measure_subscribers(directory: Path, cores: Cores, effort: Effort) -> Subscribers:
    """One process on SQLite for each kind. The subscribers are connections of this process, on the core of the load."""
    _raise_file_limit()
    subscribers = Subscribers()
    for number, kind in enumerate(KINDS):
        say(f"measuring subscribers: {kind.title}")
        env = {"RAMET_DATABASE_URL": f"sqlite:///{directory / f'subscribers-{number}.db'}", **CHEAP, **_FREE}
        server = serve_ramet(directory, cores, env, f"subscribers-{number}")
        try:
            with beside_load(cores):
                subscribers.found[kind.title] = _measure(server, kind, effort.subscribers, effort.told)
        finally:
            server.stop()
    return subscribers


def _measure(server: Server, kind: Kind, count: int, told: int) -> Crowd:
    asker = Asker(server.port)
    token, _ = sign_in(asker, register(asker, "subscribers@example.com"))
    with ExitStack() as stack:
        stack.callback(asker.close)
        connections = [stack.enter_context(subscribe(server.port, token, kind, number)) for number in range(WARM_UP)]
        before = _weigh(server)
        more = range(WARM_UP, WARM_UP + count)
        connections += [stack.enter_context(subscribe(server.port, token, kind, number)) for number in more]
        each = (_weigh(server) - before) / count
        expected = told * len(connections)
        busy, began = server.busy(), time.monotonic()
        for number in range(told):
            asker.ask(post(TASKS, draft(0, number).document(), token))
        _hear(connections, kind.marker, expected)
        seconds = time.monotonic() - began
        return Crowd(count, each, expected, seconds, (server.busy() - busy) / expected * 1e6)


def subscribe(port: int, token: str, kind: Kind, number: int) -> socket.socket:
    """A connection that has been told that it is subscribed. Raises WrongAnswer when it is refused."""
    query = "resource=tasks" if kind.alike else f"resource=tasks&created_at[gt]=2001-01-01T00:00:00.{number:06}Z"
    path = "/api/v1/live" if kind.websocket else f"/api/v1/events?{query}"
    head = [f"GET {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {token}"]
    if kind.websocket:
        head += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_KEY}"]
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    try:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        if kind.websocket:
            _until(connection, b"\r\n\r\n")
            message = json.dumps({"type": "subscribe", "subscription": "a", "query": query}).encode()
            connection.sendall(bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message)
        _until(connection, b'"ready"')
    except BaseException:
        connection.close()
        raise
    return connection


def _until(connection: socket.socket, end: bytes) -> None:
    text = b""
    while end not in text:
        data = connection.recv(65_536)
        text += data
        if not data or (text[:5] == b"HTTP/" and text[9:12] not in (b"200", b"101")):
            raise WrongAnswer(f"a subscriber was told {text[:500].decode(errors='replace')}")


def _hear(connections: Sequence[socket.socket], marker: bytes, expected: int) -> None:
    """Reads until so many markers have arrived at all connections together. Raises WrongAnswer when they do not."""
    tails = {connection.fileno(): b"" for connection in connections}
    by_number = {connection.fileno(): connection for connection in connections}
    with select.epoll() as poll:
        for number in tails:
            poll.register(number, select.EPOLLIN)
        heard, deadline = 0, time.monotonic() + PATIENCE
        while heard < expected:
            if time.monotonic() > deadline:
                raise WrongAnswer(f"subscribers heard of {heard} events, not of {expected}")
            for number, _ in poll.poll(1.0, 256):
                data = by_number[number].recv(65_536)
                if not data:
                    raise WrongAnswer("a subscriber was sent away")
                text = tails[number] + data
                heard += text.count(marker)
                tails[number] = text[1 - len(marker) :]
    if heard > expected:
        raise WrongAnswer(f"subscribers heard of {heard} events, not of {expected}")


def _weigh(server: Server) -> int:
    time.sleep(CALM)
    return server.weigh().shared_once


def _raise_file_limit() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (65_536 if most == resource.RLIM_INFINITY else most, most))


def _row(title: str, crowd: Crowd) -> tuple[str, ...]:
    verdict = f"{SUBSCRIBER_BUDGET / 1e3:g} kB {'holds' if crowd.each <= SUBSCRIBER_BUDGET else 'MISSED'}"
    figures = f"{crowd.rate:,.0f}", f"{crowd.cost:.0f}"
    return title, f"{crowd.count:,}", f"{crowd.each / 1e3:.1f} kB", verdict, *figures
