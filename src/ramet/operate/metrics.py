"""Counts what happens, in plain lists and dictionaries: an event costs less than a microsecond.

`Metrics` holds the figures of this process; `exporter` shows those of all workers. The number of series is bounded:
operations and error codes come from fixed lists, and whatever else names a series gets at most `MOST` of them; the
rest is counted as "other".
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.registry import CollectorRegistry

from ramet.errors import ERRORS
from ramet.observe import (
    BatchCommitted,
    EventsSent,
    HookFailed,
    LimitRefused,
    Observer,
    ReloadSent,
    RequestDone,
    SessionRevoked,
    SignInFailed,
    StatementRun,
    StreamEnded,
    StreamOpened,
)
from ramet.operate.families import Families, Family, Kind, Merge, taken

SECONDS = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WRITES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
MOST = 64
OTHER = "other"
RESERVED = ("ramet_unread_total", "ramet_unpublished_total", "ramet_workers")

_Series = dict[tuple[str, ...], list[float]]
_NAME = re.compile(r"ramet_[a-z][a-z_]*")
_OUTCOMES = ("near", "shared", "miss", "bypass")
_VERBS = {"SELECT": "select", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}


class Metrics:
    """The figures of one process. `operations` are the names of the catalog; others are counted as "other".

    Single additions to a list cannot be interrupted by another thread, so statements may be counted from any.
    """

    def __init__(self, operations: Iterable[str] = ()) -> None:
        self._requests = {name: [_cell(SECONDS) for _ in range(10)] for name in (*operations, OTHER)}
        self._other = self._requests[OTHER]
        self._errors = dict.fromkeys((*ERRORS, OTHER), 0)
        self._cache = dict.fromkeys((*_OUTCOMES, OTHER, ""), 0)
        self._statements = {verb: _cell(SECONDS) for verb in (*_VERBS.values(), OTHER)}
        self._commits = _cell(SECONDS)
        self._writes = _cell(WRITES)
        self._refused: dict[str, int] = {}
        self._sign_in_failed: dict[str, int] = {}
        self._revoked: dict[str, int] = {}
        self._hooks: dict[str, int] = {}
        self._streams: dict[str, int] = {}
        self._streams_ended: dict[str, int] = {}
        self._reloads: dict[str, int] = {}
        self._events = [0, 0]
        self._registered: dict[str, Family] = {}
        self._reads: list[tuple[str, tuple[str, ...], Callable[[], float]]] = []
        self._unread = 0
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def subscribe(self, observer: Observer) -> None:
        observer.subscribe(RequestDone, self.request)
        observer.subscribe(StatementRun, self.statement)
        observer.subscribe(BatchCommitted, self._committed)
        observer.subscribe(LimitRefused, lambda refusal: _count(self._refused, refusal.policy))
        observer.subscribe(SignInFailed, lambda failure: _count(self._sign_in_failed, failure.reason))
        observer.subscribe(SessionRevoked, lambda end: _count(self._revoked, end.reason))
        observer.subscribe(HookFailed, lambda failure: _count(self._hooks, failure.hook))
        observer.subscribe(StreamOpened, lambda begin: _count(self._streams, begin.kind))
        observer.subscribe(StreamEnded, self._stream_ended)
        observer.subscribe(ReloadSent, lambda reload: _count(self._reloads, reload.reason))
        observer.subscribe(EventsSent, self._events_sent)

    def gauge(
        self,
        name: str,
        help: str,
        read: Callable[[], float],
        *,
        labels: Mapping[str, str] | None = None,
        merge: Merge = "sum",
    ) -> None:
        """A figure that is read when somebody asks. `merge`: what several workers are together.

        One name may be registered several times with other values of the same labels. A `read` that raises is left
        out of the answer and counted. Raises ValueError for a name that is taken.
        """
        self._register(name, help, read, labels or {}, "gauge", merge)

    def counter(
        self, name: str, help: str, read: Callable[[], float], *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Like `gauge`, for a count that somebody else keeps and that never goes down; its name ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"{name}: the name of a counter ends in _total")
        self._register(name, help, read, labels or {}, "counter", "sum")

    def request(self, done: RequestDone) -> None:
        """Counts one request (hot path)."""
        cell = self._requests.get(done.operation, self._other)[done.status // 100]
        seconds = done.seconds
        cell[bisect_left(SECONDS, seconds)] += 1
        cell[-1] += seconds
        try:
            self._cache[done.cache] += 1
        except KeyError:
            self._cache[OTHER] += 1
        if done.code:
            self._errors[done.code if done.code in self._errors else OTHER] += 1

    def statement(self, run: StatementRun) -> None:
        """Counts one statement (hot path)."""
        cell = self._statements[_VERBS.get(run.sql[:6], OTHER)]
        seconds = run.seconds
        cell[bisect_left(SECONDS, seconds)] += 1
        cell[-1] += seconds

    def figures(self) -> Families:
        """All figures of this process at this moment, those of the operating system excepted."""
        families = self._counted()
        for name, family in self._registered.items():
            families[name] = Family(family.kind, family.help, family.labels, {}, merge=family.merge)
        for name, key, read in self._reads:
            try:
                families[name].series[key] = [float(read())]
            except Exception:  # one part that cannot say how it is must not hide the others
                self._unread += 1
        families["ramet_unread_total"] = _one("Gauges that raised when they were read.", self._unread)
        return families

    def process(self) -> Families:
        """CPU, memory, descriptors, threads and garbage collection of this process."""
        families = taken(self._process.collect())
        families["process_threads"] = Family(
            "gauge", "Threads of the process.", (), {(): [float(_threads())]}, merge="each"
        )
        return families

    def _counted(self) -> Families:
        requests: _Series = {
            (operation, f"{number}xx"): cell[:]
            for operation, cells in self._requests.items()
            for number, cell in enumerate(cells)
            if any(cell)
        }
        statements: _Series = {(verb,): cell[:] for verb, cell in self._statements.items() if any(cell)}
        runs: _Series = {key: [sum(cell[:-1])] for key, cell in statements.items()}
        by_operation, by_verb = ("operation", "status"), ("statement",)
        cache = {outcome: count for outcome, count in self._cache.items() if outcome}
        return {
            "ramet_request_seconds": Family(
                "histogram", "Time to answer, by operation and status class.", by_operation, requests, SECONDS
            ),
            "ramet_errors_total": _counts("Refusals and failures by error code.", "code", self._errors),
            "ramet_cache_total": _counts("Reads by where the answer came from.", "outcome", cache),
            "ramet_statement_seconds": Family("histogram", "Time of SQL statements.", by_verb, statements, SECONDS),
            "ramet_statements_total": Family("counter", "SQL statements.", by_verb, runs),
            "ramet_commit_seconds": Family("histogram", "Time of commits.", (), {(): self._commits[:]}, SECONDS),
            "ramet_commit_writes": Family(
                "histogram", "Writes acknowledged by one commit.", (), {(): self._writes[:]}, WRITES
            ),
            "ramet_limit_refused_total": _counts("Requests refused by a limit.", "policy", self._refused),
            "ramet_sign_in_failed_total": _counts("Refused sign-ins.", "reason", self._sign_in_failed),
            "ramet_sessions_revoked_total": _counts("Sessions ended before their time.", "reason", self._revoked),
            "ramet_streams": Family("gauge", "Open event streams and WebSockets.", ("kind",), _series(self._streams)),
            "ramet_streams_ended_total": _counts("Streams that are over.", "reason", self._streams_ended),
            "ramet_reloads_total": _counts("Subscribers that were told to read again.", "reason", self._reloads),
            "ramet_events_total": _one("Events encoded, once for all who see the same.", self._events[0]),
            "ramet_events_sent_total": _one("Events sent to subscribers.", self._events[1]),
            "ramet_hook_failed_total": _counts("After-commit hooks that raised.", "hook", self._hooks),
        }

    def _stream_ended(self, end: StreamEnded) -> None:
        self._streams[end.kind] = self._streams.get(end.kind, 1) - 1
        _count(self._streams_ended, end.reason)

    def _events_sent(self, sent: EventsSent) -> None:
        self._events[0] += sent.events
        self._events[1] += sent.deliveries

    def _committed(self, batch: BatchCommitted) -> None:
        self._commits[bisect_left(SECONDS, batch.seconds)] += 1
        self._commits[-1] += batch.seconds
        self._writes[bisect_left(WRITES, batch.writes)] += 1
        self._writes[-1] += batch.writes

    def _register(
        self, name: str, help: str, read: Callable[[], float], labels: Mapping[str, str], kind: Kind, merge: Merge
    ) -> None:
        key = tuple(labels.values())
        family = Family(kind, help, tuple(labels), {}, merge=merge)
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name}: a name is ramet_ and then small letters and underscores")
        if name in RESERVED or name in self._counted() or self._registered.setdefault(name, family) != family:
            raise ValueError(f"{name}: there is another metric of this name")
        if any((name, key) == (known, values) for known, values, _ in self._reads):
            raise ValueError(f"{name}: these labels are taken")
        self._reads.append((name, key, read))


def _cell(bounds: tuple[float, ...]) -> list[float]:
    """A count for each bucket and one without bound, then the sum."""
    return [0] * (len(bounds) + 1) + [0.0]


def _count(counts: dict[str, int], name: str) -> None:
    if name not in counts and len(counts) >= MOST:
        name = OTHER
    counts[name] = counts.get(name, 0) + 1


def _counts(help: str, label: str, counts: Mapping[str, int]) -> Family:
    return Family("counter", help, (label,), _series(counts))


def _series(counts: Mapping[str, int]) -> _Series:
    return {(name,): [float(count)] for name, count in list(counts.items())}


def _one(help: str, count: float) -> Family:
    return Family("counter", help, (), {(): [float(count)]})


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return threading.active_count()
