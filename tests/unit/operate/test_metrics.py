"""What is counted, under which names, and that no caller can make the number of series grow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ramet.errors import ERRORS
from ramet.observe import (
    BatchCommitted,
    HookFailed,
    LimitRefused,
    Observer,
    RequestDone,
    SessionRevoked,
    SignInFailed,
    StatementRun,
)
from ramet.operate.metrics import MOST, SECONDS, WRITES, Metrics

Make = Callable[..., RequestDone]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["tasks.list", "tasks.create"])


@pytest.fixture
def observer(metrics: Metrics) -> Observer:
    made = Observer()
    metrics.subscribe(made)
    return made


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], list[float]]:
    return metrics.figures()[name].series


def test_requests_are_counted_by_operation_and_status_class(metrics: Metrics, observer: Observer, done: Make) -> None:
    for status, seconds in ((200, 0.00004), (200, 0.00005), (201, 0.00006), (404, 0.3), (500, 99.0)):
        observer.emit(done(status=status, seconds=seconds))
    found = series(metrics, "ramet_request_seconds")
    assert set(found) == {("tasks.list", "2xx"), ("tasks.list", "4xx"), ("tasks.list", "5xx")}
    ok = found["tasks.list", "2xx"]
    assert ok[:2] == [2, 1]  # a bound belongs to its own bucket
    assert sum(ok[:-1]) == 3
    assert ok[-1] == pytest.approx(0.00015)
    assert found["tasks.list", "4xx"][SECONDS.index(0.5)] == 1
    assert found["tasks.list", "5xx"][-2:] == [1, 99.0]  # beyond the last bound


def test_an_operation_that_is_in_no_catalog_makes_no_series(metrics: Metrics, observer: Observer, done: Make) -> None:
    for number in range(50):
        observer.emit(done(operation=f"made up {number}", status=404, code=f"made up {number}", cache=f"{number}"))
    assert set(series(metrics, "ramet_request_seconds")) == {("other", "4xx")}
    errors = series(metrics, "ramet_errors_total")
    assert set(errors) == {(code,) for code in (*ERRORS, "other")}
    assert errors["other",] == [50]
    assert series(metrics, "ramet_cache_total")["other",] == [50]


def test_errors_and_cache_outcomes(metrics: Metrics, observer: Observer, done: Make) -> None:
    for cache, code in (("near", ""), ("near", ""), ("miss", ""), ("", "not_found"), ("bypass", "not_found")):
        observer.emit(done(cache=cache, code=code))
    outcomes = {key: value for (key,), [value] in series(metrics, "ramet_cache_total").items()}
    assert outcomes == {"near": 2, "shared": 0, "miss": 1, "bypass": 1, "other": 0}
    assert series(metrics, "ramet_errors_total")["not_found",] == [2]
    assert sum(count for [count] in series(metrics, "ramet_errors_total").values()) == 2


def test_statements_by_their_verb_and_commits_by_their_size(metrics: Metrics, observer: Observer) -> None:
    for sql in ("SELECT 1", "SELECT 2", "INSERT INTO t VALUES (1)", "PRAGMA x", "WITH a AS (SELECT 1) SELECT 1"):
        observer.emit(StatementRun(sql, 0.001, 1, ""))
    observer.emit(BatchCommitted(1, 0.002))
    observer.emit(BatchCommitted(5000, 0.004))
    totals = {key: value for (key,), [value] in series(metrics, "ramet_statements_total").items()}
    assert totals == {"select": 2, "insert": 1, "other": 2}
    assert series(metrics, "ramet_statement_seconds")["select",][-1] == 0.002
    [writes] = series(metrics, "ramet_commit_writes").values()
    assert (writes[0], writes[len(WRITES)], writes[-1]) == (1, 1, 5001)
    [commits] = series(metrics, "ramet_commit_seconds").values()
    assert sum(commits[:-1]) == 2
    assert commits[-1] == pytest.approx(0.006)


def test_refusals_failures_and_revocations(metrics: Metrics, observer: Observer) -> None:
    for event in (
        LimitRefused("sign_in", "203.0.113.9"),
        LimitRefused("overload", "203.0.113.9"),
        SignInFailed("wrong password", "203.0.113.9"),
        SessionRevoked("s", "u", "replay"),
        HookFailed("mail", "c", 1, "x"),
        HookFailed("mail", "c", 2, "x"),
    ):
        observer.emit(event)
    assert series(metrics, "ramet_limit_refused_total") == {("sign_in",): [1], ("overload",): [1]}
    assert series(metrics, "ramet_sign_in_failed_total") == {("wrong password",): [1]}
    assert series(metrics, "ramet_sessions_revoked_total") == {("replay",): [1]}
    assert series(metrics, "ramet_hook_failed_total") == {("mail",): [2]}


def test_names_from_elsewhere_are_bounded(metrics: Metrics, observer: Observer) -> None:
    for number in range(10 * MOST):
        observer.emit(SignInFailed(f"reason {number}", "203.0.113.9"))
    found = series(metrics, "ramet_sign_in_failed_total")
    assert len(found) == MOST + 1
    assert found["other",] == [9 * MOST]


def test_neither_addresses_nor_callers_nor_paths_are_names(metrics: Metrics, observer: Observer, done: Make) -> None:
    observer.emit(done(path="/private-path", caller="private-caller", address="198.51.100.7", code="rate_limited"))
    observer.emit(LimitRefused("address", "198.51.100.7"))
    observer.emit(SessionRevoked("private-session", "private-user", "sign_out"))
    shown = str(metrics.figures())
    assert "private" not in shown
    assert "198.51" not in shown


def test_registered_gauges_and_counters_are_read_when_asked(metrics: Metrics) -> None:
    lengths = {"writes": 3.0, "passwords": 1.0}
    for queue in lengths:
        metrics.gauge("ramet_queue_length", "Waiting.", partial(lengths.__getitem__, queue), labels={"queue": queue})
    metrics.counter("ramet_log_dropped_total", "Lost.", lambda: 7)
    assert series(metrics, "ramet_queue_length") == {("writes",): [3], ("passwords",): [1]}
    lengths["writes"] = 9
    assert series(metrics, "ramet_queue_length")["writes",] == [9]
    assert metrics.figures()["ramet_log_dropped_total"].kind == "counter"


def test_a_gauge_that_raises_hides_nothing_but_itself(metrics: Metrics) -> None:
    def broken() -> float:
        raise OSError("gone")

    metrics.gauge("ramet_broken", "Broken.", broken)
    metrics.gauge("ramet_fine", "Fine.", lambda: 1)
    figures = metrics.figures()
    assert figures["ramet_broken"].series == {}
    assert figures["ramet_fine"].series == {(): [1]}
    assert figures["ramet_unread_total"].series == {(): [1]}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("ramet_request_seconds", {}),
        ("ramet_workers", {}),
        ("ramet_unread_total", {}),
        ("process_cpu_seconds_total", {}),
        ("Ramet", {}),
        ("ramet_taken", {"queue": "a"}),
        ("ramet_taken", {"other": "b"}),
    ],
)
def test_a_name_means_one_thing(metrics: Metrics, name: str, labels: dict[str, str]) -> None:
    metrics.gauge("ramet_taken", "Taken.", lambda: 0, labels={"queue": "a"})
    with pytest.raises(ValueError, match=name):
        metrics.gauge(name, "Taken.", lambda: 0, labels=labels)


def test_the_name_of_a_counter_says_that_it_is_one(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="_total"):
        metrics.counter("ramet_things", "Things.", lambda: 0)


@pytest.mark.parametrize(
    "name",
    ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds",
     "process_start_time_seconds", "process_threads", "python_gc_collections_total", "python_info"],
)  # fmt: skip
def test_the_process_itself_has_figures(metrics: Metrics, name: str) -> None:
    families = metrics.process()
    assert all(value > 0 for [value] in list(families[name].series.values())[:1])


def test_what_was_given_out_does_not_change_later(metrics: Metrics, observer: Observer, done: Make) -> None:
    observer.emit(done())
    before = metrics.figures()
    copy: Any = {key: list(values) for key, values in before["ramet_request_seconds"].series.items()}
    observer.emit(done())
    assert before["ramet_request_seconds"].series == copy
