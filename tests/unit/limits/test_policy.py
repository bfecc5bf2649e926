"""A limit's text becomes numbers that hold its promise, and its headers are structured fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.errors import SettingsError
from ramet.limits.policy import CELLS, LARGEST_QUOTA, Allowance, Decision, Policy, whole_seconds

SECOND = 1_000_000_000


@given(st.integers(1, 1_000_000_000), st.integers(1, 31 * 86_400))
def test_what_is_enforced_is_never_looser_than_what_is_promised(count: int, window: int) -> None:
    policy = Policy.parse("caller", f"{count}/{window}")
    parts = -(-count // LARGEST_QUOTA)
    assert 1 <= policy.quota <= LARGEST_QUOTA
    assert policy.quota * parts <= count
    assert policy.cell_ns * CELLS * parts >= window * SECOND


@given(st.integers(1, 1_000_000_000), st.integers(1, 31 * 86_400))
def test_at_least_95_percent_of_the_count_is_usable(count: int, window: int) -> None:
    policy = Policy.parse("caller", f"{count}/{window}")
    assert policy.quota * window * SECOND >= 0.95 * count * policy.cell_ns * (CELLS + 1)


@pytest.mark.parametrize(
    "text", ["", "60", "/60", "60/", "0/60", "60/0", "-1/60", "1.5/60", "60/0.5", "60/60/60", "a/b"]
)
def test_a_wrong_text_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(SettingsError, match=r"RAMET_LIMIT_SIGN_IN: .* is not COUNT/SECONDS, such as 600/60"):
        Policy.parse("sign_in", text)


def test_headers_are_structured_fields_with_whole_seconds_rounded_up() -> None:
    allowance = Allowance(Policy("caller", 6000, 60), Decision(True, 5999, 59 * SECOND + 1))
    assert allowance.headers() == (
        ("ratelimit", '"caller";r=5999;t=60'),
        ("ratelimit-policy", '"caller";q=6000;w=60'),
    )


def test_without_a_policy_there_are_no_headers() -> None:
    assert Allowance(None, None).headers() == ()


def test_whole_seconds_are_never_too_short() -> None:
    assert [whole_seconds(ns) for ns in (0, 1, SECOND, SECOND + 1)] == [0, 1, 1, 2]
