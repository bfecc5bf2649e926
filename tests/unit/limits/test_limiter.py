"""Callers, addresses, strict classes and accounts: who is counted where, and what a refusal says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ramet.errors import Problem, SettingsError
from ramet.limits.counters import LocalCounters
from ramet.limits.limiter import ROUTE_CLASSES, UNLIMITED, Limiter
from ramet.limits.policy import Policy
from ramet.limits.table import Table
from ramet.observe import LimitRefused, Observer
from ramet.settings import Settings

SECOND = 1_000_000_000


class Bench:
    """A limiter with a clock that is moved by hand, and the refusals it told of."""

    def __init__(self, **settings: Any) -> None:
        self.now = 0
        self.refusals: list[LimitRefused] = []
        observer = Observer()
        observer.subscribe(LimitRefused, self.refusals.append)
        self.limiter = Limiter(Settings(**settings), LocalCounters(slots=64), lambda: self.now, observer)

    def check(self, route_class: str, caller: str | None, address: str, cost: int = 1) -> str:
        """The `ratelimit` header of an admitted request, or of its refusal behind "refused"."""
        try:
            return dict(self.limiter.check(route_class, caller, address, cost).headers())["ratelimit"]
        except Problem as problem:
            return f"refused {dict(problem.headers)['ratelimit']}"

    def guess(self, account: str, address: str, right: bool = False) -> bool:
        """Whether a sign-in was let through to the password."""
        try:
            asyncio.run(self.limiter.check_account(account, address))
        except Problem:
            return False
        if right:
            self.limiter.succeeded(account, address)
        return True


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(
        limit_caller="3/60",
        limit_address="2/60",
        limit_sign_in="2/60",
        limit_register="1/3600",
        limit_refresh="2/60",
        limit_account="2/300",
    )
    yield bench
    bench.limiter.close()


def test_a_signed_in_caller_is_counted_by_itself_wherever_it_comes_from(bench: Bench) -> None:
    told = [bench.check("general", "ada", address) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3")]
    assert told == ['"caller";r=2;t=63', '"caller";r=1;t=63', '"caller";r=0;t=63', 'refused "caller";r=0;t=63']
    assert bench.check("general", "bob", "192.0.2.1") == '"caller";r=2;t=63'


def test_others_are_counted_by_address_apart_from_callers(bench: Bench) -> None:
    bench.check("general", "ada", "192.0.2.1")
    told = [bench.check("general", None, "192.0.2.1") for _ in range(3)]
    assert told == ['"address";r=1;t=63', '"address";r=0;t=63', 'refused "address";r=0;t=63']
    assert bench.check("general", None, "192.0.2.2") == '"address";r=1;t=63'
    assert bench.check("general", "192.0.2.1", "192.0.2.1") == '"caller";r=2;t=63', "a name that reads like an address"


@pytest.mark.parametrize("route_class", ["sign_in", "register", "refresh"])
def test_a_strict_class_is_counted_for_its_address_whoever_calls(bench: Bench, route_class: str) -> None:
    told = [bench.check(route_class, f"caller {number}", "192.0.2.1") for number in range(3)]
    assert told[0].startswith(f'"{route_class}";r=')
    assert told[-1].startswith(f'refused "{route_class}";r=0;t=')
    others = set(ROUTE_CLASSES) - {route_class}
    assert not any("refused" in bench.check(other, f"caller {other}", "192.0.2.1") for other in others)


def test_what_a_strict_class_refuses_costs_nothing_else(bench: Bench) -> None:
    bench.check("register", "ada", "192.0.2.1")
    for _ in range(5):
        assert "refused" in bench.check("register", "ada", "192.0.2.1")
    assert bench.check("general", "ada", "192.0.2.1") == '"caller";r=1;t=63'


def test_a_request_may_cost_more_than_one(bench: Bench) -> None:
    assert bench.check("general", "ada", "192.0.2.1", cost=2) == '"caller";r=1;t=63'
    assert bench.check("general", "ada", "192.0.2.1", cost=2) == 'refused "caller";r=1;t=63'
    assert bench.check("general", "ada", "192.0.2.1") == '"caller";r=0;t=63'


def test_a_refusal_says_when_to_come_back_and_then_admits(bench: Bench) -> None:
    for _ in range(3):
        bench.check("general", "ada", "192.0.2.1")
    bench.now = 20 * SECOND + 1
    with pytest.raises(Problem) as caught:
        bench.limiter.check("general", "ada", "192.0.2.1")
    assert (caught.value.kind.code, caught.value.status) == ("rate_limited", 429)
    assert caught.value.retry_after == 43
    assert caught.value.headers == (("ratelimit", '"caller";r=0;t=43'), ("ratelimit-policy", '"caller";q=3;w=60'))
    assert caught.value.detail == "More than 3 in 60 s (limit `caller`)."
    bench.now += 42 * SECOND
    assert "refused" in bench.check("general", "ada", "192.0.2.1")
    bench.now += SECOND
    assert "refused" not in bench.check("general", "ada", "192.0.2.1")


def test_a_refusal_is_observed_with_its_address_and_nothing_of_the_caller(bench: Bench) -> None:
    for _ in range(4):
        bench.check("general", "ada", "192.0.2.1")
    for _ in range(3):
        bench.guess("ada@example.org", "192.0.2.9")
    assert bench.refusals == [LimitRefused("caller", "192.0.2.1"), LimitRefused("account", "192.0.2.9")]


def test_guesses_at_one_account_are_counted_over_all_addresses(bench: Bench) -> None:
    assert [bench.guess("ada@example.org", f"192.0.2.{number}") for number in range(4)] == [True, True, False, False]
    assert bench.guess("bob@example.org", "192.0.2.1")
    bench.now = 315 * SECOND
    assert bench.guess("ada@example.org", "192.0.2.1")


def test_right_passwords_are_not_counted(bench: Bench) -> None:
    assert all(bench.guess("ada@example.org", f"192.0.2.{number}", right=True) for number in range(20))
    assert bench.limiter.blocked("ada@example.org", "198.51.100.1") == 0


def test_strangers_who_keep_guessing_do_not_lock_the_owner_out(bench: Bench) -> None:
    assert bench.guess("ada@example.org", "192.0.2.1", right=True)
    for day in range(20):
        bench.now = day * 86_400 * SECOND
        assert [bench.guess("ada@example.org", f"203.0.113.{number}") for number in range(4)].count(True) == 2
        assert bench.guess("ada@example.org", "192.0.2.1", right=True)
    assert not bench.guess("ada@example.org", "198.51.100.1")


def test_a_known_address_is_not_free_to_guess(bench: Bench) -> None:
    assert bench.guess("ada@example.org", "192.0.2.1", right=True)
    assert [bench.guess("ada@example.org", "192.0.2.1") for _ in range(4)] == [True, True, False, False]
    assert bench.guess("ada@example.org", "198.51.100.1"), "and uses up nothing for others"


def test_an_address_known_to_one_account_is_a_stranger_to_another(bench: Bench) -> None:
    bench.guess("eve@example.org", "192.0.2.1", right=True)
    assert [bench.guess("ada@example.org", "192.0.2.1") for _ in range(3)] == [True, True, False]


def test_blocked_tells_how_long_and_counts_nothing(bench: Bench) -> None:
    assert [bench.limiter.blocked("ada@example.org", "192.0.2.1") for _ in range(5)] == [0] * 5
    assert [bench.guess("ada@example.org", "192.0.2.1") for _ in range(3)] == [True, True, False]
    assert bench.limiter.blocked("ada@example.org", "192.0.2.1") == 315
    bench.now = 315 * SECOND
    assert bench.limiter.blocked("ada@example.org", "192.0.2.1") == 0


def test_switched_off_it_admits_everything_says_nothing_and_opens_nothing() -> None:
    class Untouchable:
        def open(self, policy: Policy) -> Table:
            raise AssertionError(policy)

    limiter = Limiter(Settings(limits=False, limit_caller="1/60"), Untouchable(), lambda: 0, Observer())
    for _ in range(3):
        assert limiter.check("general", "ada", "192.0.2.1") is UNLIMITED
        asyncio.run(limiter.check_account("ada@example.org", "192.0.2.1"))
    limiter.succeeded("ada@example.org", "192.0.2.1")
    assert limiter.blocked("ada@example.org", "192.0.2.1") == 0
    assert UNLIMITED.headers() == ()
    limiter.close()


@pytest.mark.parametrize("name", ["caller", "address", "sign_in", "register", "refresh", "account"])
@pytest.mark.parametrize("limits", [True, False])
def test_a_limit_that_cannot_be_read_is_named_even_when_not_enforced(name: str, limits: bool) -> None:
    settings = msgspec.structs.replace(Settings(limits=limits), **{f"limit_{name}": "many"})
    with pytest.raises(SettingsError, match=f"RAMET_LIMIT_{name.upper()}"):
        Limiter(settings, LocalCounters(slots=64), lambda: 0, Observer())
