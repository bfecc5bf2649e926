"""How long until another instance knows: events to a subscriber there, and sessions that have been ended."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.ask import Asker, WrongAnswer, post
from benchmarks.engines import Engines, beside_load
from benchmarks.instances import instances, register, sign_in
from benchmarks.load import Request
from benchmarks.report import say
from benchmarks.servers import Cores
from benchmarks.works import EVENT_BUDGET, REVOCATION_BUDGET, Effort, draft

TASKS = "/api/v1/tasks"
PACE = 0.01
"""Seconds between two writes: what is measured is a delay, not a rate."""
PATIENCE = 10.0


@dataclass(slots=True)
class Delays:
    """Delays in milliseconds by what was waited for."""

    found: dict[str, list[float]] = field(default_factory=dict)

    def table(self) -> Sequence[Sequence[str]]:
        head = ("seen by another instance", "times", "p50 ms", "p99 ms", "slowest ms", "budget (p99)")
        return [head, *(_row(name, delays) for name, delays in self.found.items())]

    def misses(self) -> list[str]:
        return [
            f"{name}: p99 {percentile(delays, 0.99):.1f} ms, more than {BUDGETS[name]:g} ms"
            for name, delays in self.found.items()
            if percentile(delays, 0.99) > BUDGETS[name]
        ]

    def document(self) -> dict[str, Any]:
        return {name: {"budget_ms": BUDGETS[name], "ms": delays} for name, delays in self.found.items()}


EVENTS, REVOCATION = "event-delay", "revocation"
TITLES = {
    EVENTS: "event, from before its statement on one to its arrival from the other",
    REVOCATION: "ended session, from before it is asked for to its refusal by both",
}
BUDGETS = {EVENTS: EVENT_BUDGET, REVOCATION: REVOCATION_BUDGET}


def measure_delays(directory: Path, cores: Cores, effort: Effort, engines: Engines, wanted: frozenset[str]) -> Delays:
    """Asks one of two instances for changes, and looks at the other."""
    delays = Delays()
    with instances(directory, cores, engines, "delays", 2, {}) as (writing, other):
        askers = Asker(writing.port), Asker(other.port)
        email = register(askers[0], "delays@example.com")
        with beside_load(cores):
            if EVENTS in wanted:
                say("measuring event delays")
                delays.found[EVENTS] = _events(askers[0], other.port, sign_in(askers[0], email)[0], effort.events)
            if REVOCATION in wanted:
                say("measuring revocations")
                delays.found[REVOCATION] = [1e3 * _revoke(askers, email) for _ in range(effort.revocations)]
        for asker in askers:
            asker.close()
    return delays


def percentile(delays: Sequence[float], share: float) -> float:
    """The smallest of them that `share` of them do not exceed."""
    return sorted(delays)[max(0, -int(-share * len(delays) // 1) - 1)]


def _events(asker: Asker, port: int, token: str, count: int) -> list[float]:
    """Creates paced tasks through one instance, while a subscriber of another one tells when it hears of each.

    The record says when it was created: the instance's own clock, of the same machine, before its statement was sent.
    """
    heard: queue.Queue[float] = queue.Queue()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        subscriber = threading.Thread(target=_listen, args=(connection, token, heard.put), daemon=True)
        subscriber.start()
        heard.get(timeout=PATIENCE)  # it is ready
        delays = []
        for number in range(count):
            asker.ask(post(TASKS, draft(0, number).document(), token))
            delays.append(1e3 * heard.get(timeout=PATIENCE))
            time.sleep(PACE)
        connection.shutdown(socket.SHUT_RDWR)
    subscriber.join(PATIENCE)
    return delays


def _listen(connection: socket.socket, token: str, tell: Callable[[float], None]) -> None:
    """Tells the delay of each event in seconds, and 0 once it listens, until the connection is closed."""
    head = f"GET /api/v1/events?resource=tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    connection.sendall(head.encode())
    text = b""
    try:
        while data := connection.recv(65_536):
            now = time.time()
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    tell(_age(json.loads(line[6:]), now))
    except OSError:
        return


def _age(event: dict[str, Any], now: float) -> float:
    if event["kind"] == "ready":
        return 0.0
    return now - datetime.fromisoformat(event["record"]["created_at"]).timestamp()


def _revoke(askers: Sequence[Asker], email: str) -> float:
    """Ends a session through the first instance; the seconds until every one has refused its token."""
    first = askers[0]
    token, session = sign_in(first, email)
    mine, _ = sign_in(first, email)
    own = Request("GET", f"{TASKS}?limit=1", token)
    for asker in askers:
        asker.ask(own)
    began = time.monotonic()
    first.ask(Request("DELETE", f"/api/v1/sessions/{session}", mine))
    for asker in askers:
        while not _refused(asker, own):
            if time.monotonic() > began + PATIENCE:
                raise WrongAnswer("a session that was ended goes on")
    return time.monotonic() - began


def _refused(asker: Asker, request: Request) -> bool:
    try:
        asker.ask(request, 401)
    except WrongAnswer:
        return False
    return True


def _row(name: str, delays: Sequence[float]) -> tuple[str, ...]:
    p50, p99, budget = percentile(delays, 0.5), percentile(delays, 0.99), BUDGETS[name]
    verdict = f"{budget:g} ms {'holds' if p99 <= budget else 'MISSED'}"
    return TITLES[name], f"{len(delays):,}", f"{p50:.1f}", f"{p99:.1f}", f"{max(delays):.1f}", verdict
