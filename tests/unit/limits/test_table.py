"""The table holds each limit exactly, in bounded memory, whatever arrives and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.limits.counters import LocalCounters
from ramet.limits.policy import CELLS, Policy
from ramet.limits.storage import HEADER_BYTES
from ramet.limits.table import Table

SECOND = 1_000_000_000

policies = st.builds(Policy, st.just("caller"), st.integers(1, 40), st.integers(1, 120))


@contextmanager
def table_of(policy: Policy, slots: int = 64) -> Iterator[Table]:
    table = LocalCounters(slots=slots).open(policy)
    try:
        yield table
    finally:
        table.close()


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[Policy, list[tuple[int, int]]]:
    """A policy and (time, cost) in order; gaps like to end just before, on and after the edges of cells and windows."""
    policy = draw(policies)
    edges = [0, policy.cell_ns, policy.cell_ns * CELLS, policy.cell_ns * (CELLS + 1), policy.window * SECOND]
    gap = st.one_of(
        st.just(0),
        st.builds(lambda edge, off: max(0, edge + off), st.sampled_from(edges), st.integers(-1, 1)),
        st.integers(0, policy.window * SECOND * 3),
    )
    now, found = draw(st.integers(0, 10**18)), []
    for step, cost in draw(st.lists(st.tuples(gap, st.integers(1, 5)), max_size=120)):
        now += step
        found.append((now, cost))
    return policy, found


@given(arrivals())
def test_no_window_holds_more_than_the_limit(given_arrivals: tuple[Policy, list[tuple[int, int]]]) -> None:
    policy, requests = given_arrivals
    with table_of(policy) as table:
        admitted = [(now, cost) for now, cost in requests if table.take("ada", cost, now).admitted]
    for end, _ in admitted:
        inside = sum(cost for now, cost in admitted if end - policy.window * SECOND <= now <= end)
        assert inside <= policy.count


@given(arrivals())
def test_what_is_refused_would_have_broken_a_window_one_twentieth_longer(
    given_arrivals: tuple[Policy, list[tuple[int, int]]],
) -> None:
    policy, requests = given_arrivals
    admitted: list[tuple[int, int]] = []
    with table_of(policy) as table:
        for now, cost in requests:
            if table.take("ada", cost, now).admitted:
                admitted.append((now, cost))
            else:
                recent = sum(used for at, used in admitted if at > now - policy.cell_ns * (CELLS + 1))
                assert recent + cost > policy.count


@given(arrivals())
def test_who_takes_whatever_is_free_gets_95_percent(given_arrivals: tuple[Policy, list[tuple[int, int]]]) -> None:
    policy, history = given_arrivals
    windows = 2 * (CELLS + 1)
    now = 0
    with table_of(policy) as table:
        for now, cost in history:
            table.take("ada", cost, now)
        total = policy.count - table.peek("ada", now).remaining  # of the history, what still counts
        end = now + windows * policy.window * SECOND
        while now < end:
            free = table.peek("ada", now).remaining
            assert table.take("ada", free, now).admitted
            total += free
            now += table.take("ada", 1, now).reset_ns
    assert total >= 0.95 * policy.count * windows


@given(policies)
def test_the_whole_count_may_come_at_once(policy: Policy) -> None:
    with table_of(policy) as table:
        remaining = [table.take("ada", 1, 5).remaining for _ in range(policy.count)]
        assert remaining == list(range(policy.count - 1, -1, -1))
        assert not table.take("ada", 1, 5).admitted


@given(arrivals())
def test_who_waits_as_long_as_told_is_admitted_and_not_before(
    given_arrivals: tuple[Policy, list[tuple[int, int]]],
) -> None:
    policy, requests = given_arrivals
    with table_of(policy) as table:
        for now, cost in requests:
            decision = table.take("ada", cost, now)
            if not decision.admitted and cost <= policy.count:
                assert table.peek("ada", now + decision.reset_ns - 1).remaining < cost
                assert table.peek("ada", now + decision.reset_ns).remaining >= cost
                return


@given(arrivals())
def test_nothing_comes_back_before_the_reset_that_was_told(
    given_arrivals: tuple[Policy, list[tuple[int, int]]],
) -> None:
    policy, requests = given_arrivals
    with table_of(policy) as table:
        for now, cost in requests:
            table.take("ada", cost, now)
        now = requests[-1][0] if requests else 0
        told = table.take("ada", 0, now)
        if told.remaining < policy.count:
            assert table.peek("ada", now + told.reset_ns - 1).remaining == told.remaining
            assert table.peek("ada", now + told.reset_ns).remaining > told.remaining


def test_a_cost_above_the_limit_is_never_admitted_and_uses_nothing() -> None:
    policy = Policy("caller", 10, 60)
    with table_of(policy) as table:
        refused = table.take("ada", 11, 0)
        assert (refused.admitted, refused.remaining) == (False, 10)
        assert table.take("ada", 10, 0).admitted


def test_subjects_do_not_share() -> None:
    with table_of(Policy("caller", 1, 60)) as table:
        assert table.take("ada", 1, 0).admitted
        assert table.take("bob", 1, 0).admitted
        assert not table.take("ada", 1, 0).admitted


def test_a_clock_that_steps_back_admits_no_more() -> None:
    with table_of(Policy("caller", 3, 60)) as table:
        assert [table.take("ada", 1, now).admitted for now in (90 * SECOND, 0, 50 * SECOND, 0)] == [True] * 3 + [False]


def test_looking_uses_and_remembers_nothing() -> None:
    with table_of(Policy("caller", 3, 60), slots=8) as table:
        for number in range(8):
            table.take(f"busy {number}", 1, 0)
        assert table.peek("ada", 0).remaining == 3
        assert table.evicted == 0
        assert [table.peek(f"busy {number}", 0).remaining for number in range(8)] == [2] * 8


def test_one_unit_is_given_back_and_never_more_than_was_taken() -> None:
    with table_of(Policy("caller", 3, 60)) as table:
        table.give_back("ada", 0)
        table.take("ada", 2, 0)
        table.give_back("ada", 0)
        assert table.peek("ada", 0).remaining == 2
        for _ in range(3):
            table.give_back("ada", 0)
        assert table.peek("ada", 0).remaining == 3


def test_the_stalest_is_forgotten_first_and_only_when_the_set_is_full() -> None:
    with table_of(Policy("caller", 3, 60), slots=8) as table:
        for number in range(8):
            table.take(f"caller {number}", 1, number * SECOND * 4)
        table.take("caller 0", 1, 40 * SECOND)
        assert table.evicted == 0
        table.take("ada", 1, 41 * SECOND)
        assert table.evicted == 1
        assert table.peek("caller 1", 41 * SECOND).remaining == 3, "the one not seen for longest"
        assert [table.peek(f"caller {number}", 41 * SECOND).remaining for number in (0, 2, 7)] == [1, 2, 2]


def test_an_expired_slot_is_reused_without_forgetting_anybody() -> None:
    with table_of(Policy("caller", 3, 60), slots=8) as table:
        for number in range(8):
            table.take(f"caller {number}", 3, 0)
        table.take("ada", 1, 63 * SECOND)
        assert table.evicted == 0
        assert table.peek("caller 0", 63 * SECOND).remaining == 3


def test_memory_is_bounded_whoever_comes() -> None:
    with table_of(Policy("caller", 3, 60), slots=64) as table:
        for number in range(10_000):
            assert table.take(f"caller {number}", 1, number).admitted
        assert len(table._memory) == HEADER_BYTES + 64 * 64
        assert len(table._places) <= 4096
        assert table.evicted == 10_000 - 64


def test_any_text_can_be_a_subject() -> None:
    with table_of(Policy("caller", 1, 60)) as table:
        for subject in ("", "\0", "ä", "\ud800", "x" * 100_000):
            assert table.take(subject, 1, 0).admitted
            assert not table.take(subject, 1, 0).admitted


def test_where_a_subject_falls_depends_on_a_secret_of_the_run() -> None:
    def crowded(table: Table) -> bytes:
        for number in range(64):
            table.take(str(number), 1, 0)
        return bytes(table._memory[HEADER_BYTES:])

    with table_of(Policy("caller", 1, 60)) as one, table_of(Policy("caller", 1, 60)) as other:
        assert crowded(one) != crowded(other)


@pytest.mark.parametrize("slots", [0, 4, 12, 100])
def test_a_table_has_a_power_of_two_of_slots(slots: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        LocalCounters(slots=slots).open(Policy("caller", 1, 60))
