"""Multiples of the peer, and both subjects on the same PostgreSQL and Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.ask import Asker, WrongAnswer
from benchmarks.beside import Beside
from benchmarks.engines import Engines, engines
from benchmarks.load import Request, Result
from benchmarks.measure import Measured, Series
from benchmarks.servers import Cores
from benchmarks.subjects import Peer, Ramet, tokens
from benchmarks.works import CALLERS, Work

WORK = Work("postgres-record", "one record", 6, 32)


def series(*rates: int) -> Series:
    return Series([Result(rate, 1.0, rate * 100, 1.0, 2.0, 3.0, busy=1.0) for rate in rates])


def measured(ramet: Series, peer: Series) -> Measured:
    return Measured(WORK, 400, {"Ramet": ramet, "peer": peer})


def test_less_than_the_budgeted_multiple_of_the_peer_is_a_miss_and_the_multiple_itself_is_not() -> None:
    below = Beside([measured(series(500, 580, 700), series(100, 100, 100))])
    assert below.misses() == ["postgres-record: 5.8 times the peer, less than 6"]
    assert below.table()[1][3:6] == ("5.8", "5.0 to 7.0", "6 MISSED")
    at = Beside([measured(series(600, 600, 600), series(100, 100, 100))])
    assert at.misses() == []
    assert at.table()[1][5] == "6 holds"
    assert at.document()["postgres-record"]["ratio"] == 6


def test_without_a_peer_nothing_is_held_against_a_budget() -> None:
    alone = Beside([Measured(WORK, 400, {"Ramet": series(1)})])
    assert alone.misses() == []
    assert alone.table()[1][2:6] == ("-", "-", "-", "-")
    assert alone.document()["postgres-record"]["ratio"] is None


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Engines]:
    with engines(tmp_path, Cores.available()) as started:
        yield started


def test_both_do_each_work_on_postgresql_and_the_peer_caches_and_counts_in_redis(
    found: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMET_MAX_STALENESS", "60")  # what is kept is served, however busy the machine is
    cores = Cores.available()
    for subject in (Ramet(found), Peer(found)):
        subject.fill(tmp_path, cores, 2 * CALLERS)
        server = subject.start(tmp_path, cores)
        asker = Asker(server.port)
        try:
            signed_in = tokens(subject, asker)
            for work in ("record", "list", "create", "cached-list"):
                subject.check(work, subject.requests(work, signed_in, asker)[0], asker)
            if subject.name == "peer":
                _caches(asker, signed_in[0])
        finally:
            asker.close()
            server.stop()
    assert found.postgres.sql("SELECT count(*) FROM tasks", "peer") != "0"
    assert found.busy() > 0


def _caches(asker: Asker, token: str) -> None:
    """A list is kept, a create ends that, and a stranger's token is refused before anything is counted."""
    first = Request("GET", "/cached-tasks?limit=1", token)
    before = asker.ask(first).document()
    assert asker.ask(first).document() == before
    made = asker.ask(Request("POST", "/tasks", token, json.dumps({"title": "newest"}).encode())).document()
    assert asker.ask(first).document()["items"] == [made]
    with pytest.raises(WrongAnswer, match="401"):
        asker.ask(Request("GET", "/cached-tasks", "nobody"))
