"""Percentiles, budgets, and a few real delays between two instances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.delays import EVENTS, REVOCATION, Delays, measure_delays, percentile
from benchmarks.engines import engines
from benchmarks.servers import Cores
from benchmarks.works import QUICK


def test_a_percentile_is_the_smallest_that_so_many_do_not_exceed() -> None:
    numbers = [float(number) for number in range(100, 0, -1)]
    assert (percentile(numbers, 0.5), percentile(numbers, 0.99), percentile(numbers, 1.0)) == (50, 99, 100)
    assert (percentile([7.0], 0.5), percentile([7.0], 0.99)) == (7, 7)
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2


def test_the_99th_percentile_is_held_against_the_budget_not_the_slowest() -> None:
    assert Delays({EVENTS: [1.0] * 99 + [500.0]}).misses() == []
    over = Delays({EVENTS: [1.0] * 98 + [50.1] * 2, REVOCATION: [99.0]})
    assert over.misses() == ["event-delay: p99 50.1 ms, more than 50 ms"]
    assert [row[-1] for row in over.table()[1:]] == ["50 ms MISSED", "100 ms holds"]


def test_events_and_ends_of_sessions_are_seen_by_another_instance(tmp_path: Path) -> None:
    cores, effort = Cores.available(), replace(QUICK, events=3, revocations=2)
    with engines(tmp_path, cores) as found:
        delays = measure_delays(tmp_path, cores, effort, found, frozenset({EVENTS, REVOCATION}))
    assert [len(delays.found[name]) for name in (EVENTS, REVOCATION)] == [3, 2]
    assert all(0 < delay < 10_000 for found in delays.found.values() for delay in found)
