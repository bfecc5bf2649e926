"""Budgets of subscribers, and some real ones of each kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.ask import WrongAnswer
from benchmarks.instances import CHEAP
from benchmarks.servers import Cores
from benchmarks.subjects import serve_ramet
from benchmarks.subscribers import KINDS, WARM_UP, Crowd, Subscribers, measure_subscribers, subscribe
from benchmarks.works import QUICK


def test_more_memory_than_the_budget_is_a_miss_and_as_much_is_not() -> None:
    found = {"over": Crowd(10, 15_100.0, 20, 0.5, 11.0), "at": Crowd(10, 15_000.0, 20, 0.5, 11.0)}
    assert Subscribers(found).misses() == ["subscribers: 15.1 kB each (over), more than 15 kB"]
    rows = Subscribers(found).table()
    assert rows[1] == ("over", "10", "15.1 kB", "15 kB MISSED", "40", "11")
    assert rows[2][3] == "15 kB holds"


def test_subscribers_of_each_kind_are_told_all_events(tmp_path: Path) -> None:
    effort = replace(QUICK, subscribers=20, told=3)
    found = measure_subscribers(tmp_path, Cores.available(), effort).found
    assert list(found) == [kind.title for kind in KINDS]
    assert {crowd.told for crowd in found.values()} == {3 * (20 + WARM_UP)}


def test_who_is_refused_is_no_subscriber(tmp_path: Path) -> None:
    env = {"RAMET_DATABASE_URL": f"sqlite:///{tmp_path / 'one.db'}", **CHEAP}
    server = serve_ramet(tmp_path, Cores.available(), env)
    try:
        for kind in KINDS:
            with pytest.raises(WrongAnswer, match="401"):
                subscribe(server.port, "nobody", kind, 0)
    finally:
        server.stop()
