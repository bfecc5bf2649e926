"""Past its bound a process refuses at once, says when to come back, and goes on answering what is vital."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from ramet.errors import Problem
from ramet.limits.overload import InFlight, LoopLag
from ramet.observe import LimitRefused, Observer


def refused(in_flight: InFlight) -> Problem:
    with pytest.raises(Problem) as caught:
        in_flight.enter("192.0.2.1")
    return caught.value


def test_beyond_the_limit_work_is_refused_until_some_is_done() -> None:
    in_flight = InFlight(2, Observer())
    in_flight.enter()
    in_flight.enter()
    problem = refused(in_flight)
    assert (problem.kind.code, problem.status) == ("overloaded", 503)
    assert (in_flight.current, in_flight.refused) == (2, 1)
    in_flight.leave()
    in_flight.enter()
    assert in_flight.current == 2


def test_what_is_vital_is_counted_but_never_refused() -> None:
    in_flight = InFlight(1, Observer())
    in_flight.enter()
    in_flight.enter(vital=True)
    assert in_flight.current == 2
    refused(in_flight)


def test_who_comes_back_finds_its_place_taken_or_not_and_is_counted() -> None:
    in_flight = InFlight(1, Observer())
    in_flight.enter()
    in_flight.leave()
    in_flight.resume()
    in_flight.leave()
    in_flight.enter()
    with pytest.raises(Problem, match="overloaded"):
        in_flight.resume()
    assert in_flight.current == 2
    in_flight.leave()
    in_flight.leave()
    assert in_flight.current == 0


def test_those_refused_together_are_sent_back_at_different_times() -> None:
    in_flight = InFlight(0, Observer())
    assert [refused(in_flight).retry_after for _ in range(6)] == [2, 3, 1, 2, 3, 1]


def test_a_refusal_is_observed() -> None:
    observer, seen = Observer(), list[LimitRefused]()
    observer.subscribe(LimitRefused, seen.append)
    refused(InFlight(0, observer))
    assert seen == [LimitRefused("overload", "192.0.2.1")]


def test_a_single_late_turn_refuses_nothing() -> None:
    lag = LoopLag(bound=0.25, samples=5)
    for sample in (9.0, 0.0, 0.3, 0.3, 0.3, 0.3):
        lag.record(sample)
        assert not lag.stands
    assert lag.latest == 0.3


def test_lag_that_stands_refuses_all_but_the_vital_and_ends_with_one_good_sample() -> None:
    lag = LoopLag(bound=0.25, samples=5)
    in_flight = InFlight(100, Observer(), lag)
    for _ in range(4):
        lag.record(0.3)
    in_flight.enter()
    lag.record(0.3)
    refused(in_flight)
    in_flight.enter(vital=True)
    lag.record(0.25)
    in_flight.enter()


async def test_lag_is_measured_on_the_loop_until_stopped() -> None:
    stands = asyncio.Event()

    class Watched(LoopLag):
        def record(self, lag: float) -> None:
            super().record(lag)
            if self.stands:
                stands.set()

    late = count(0, 7)  # each reading of this clock is 7 s after the last
    lag = Watched(bound=1.0, interval=0.001, samples=3, clock=lambda: next(late))
    lag.start(asyncio.get_running_loop())
    async with asyncio.timeout(30):
        await stands.wait()
    assert lag.latest == pytest.approx(6.999)
    timer = lag._timer
    lag.stop()
    lag.stop()
    assert timer is not None
    assert timer.cancelled()
