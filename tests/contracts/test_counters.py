"""What every set of counters must do, wherever it counts. A further kind is one more parameter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet.limits.counters import Counter, Counters, InstanceCounters, Instances, LocalCounters
from ramet.limits.policy import Policy

SECOND = 1_000_000_000
START = 10**15


class Nobody:
    """Where no other instance has given a sign of life."""

    async def present(self, name: str) -> int:
        return 1


@pytest.fixture(params=["memory", "shared", "instances"])
def counters(request: pytest.FixtureRequest, tmp_path: Path) -> Counters:
    """Counters of each kind that there is; those over Redis, which have to be awaited, are in tests/unit/limits."""
    local = LocalCounters(tmp_path if request.param == "shared" else None, slots=64)
    if request.param != "instances":
        return local
    return InstanceCounters(local, Instances(None, Nobody(), "log", lambda: START), "one")


@pytest.fixture
def counter(counters: Counters) -> Iterator[Counter]:
    opened = counters.open(Policy("caller", 5, 60))
    yield opened
    opened.close()


def test_as_many_are_admitted_as_the_policy_says_and_each_subject_by_itself(counter: Counter) -> None:
    assert [counter.take("a", 1, START).admitted for _ in range(7)] == [True] * 5 + [False] * 2
    assert counter.take("b", 5, START).admitted
    assert not counter.take("b", 1, START).admitted


def test_what_is_refused_costs_nothing_and_all_is_free_again_after_the_window(counter: Counter) -> None:
    assert counter.take("a", 5, START).admitted
    refused = counter.take("a", 1, START)
    assert not refused.admitted
    assert refused.reset_ns > 0
    later = START + 60 * SECOND + 60 * SECOND // 20 + 1
    assert counter.take("a", 5, later).admitted


def test_looking_uses_nothing_and_giving_back_makes_room(counter: Counter) -> None:
    for _ in range(3):
        assert counter.peek("a", START).remaining == 5
    counter.take("a", 5, START)
    assert counter.peek("a", START).remaining == 0
    counter.give_back("a", START)
    assert counter.take("a", 1, START).admitted
    assert not counter.take("a", 1, START).admitted


def test_policies_do_not_share_their_subjects(counters: Counters) -> None:
    one, two = counters.open(Policy("address", 1, 60)), counters.open(Policy("sign_in", 1, 60))
    assert one.take("a", 1, START).admitted
    assert two.take("a", 1, START).admitted
    assert one.policy.name == "address"
    one.close()
    two.close()
