"""Moments are stored as text whose order is that of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from ramet.data.sqlite.values import moment, store_moment

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES | st.just(UTC))


@given(MOMENTS, MOMENTS)
@example(datetime(2031, 2, 2, 9, 30, tzinfo=UTC), datetime(2031, 2, 2, 9, 30, 0, 1200, tzinfo=UTC))
@example(datetime(5, 1, 2, tzinfo=UTC), datetime(999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC))
def test_they_are_27_characters_of_utc_in_the_order_of_time(one: datetime, other: datetime) -> None:
    stored = store_moment(one)
    assert (len(stored), stored[10], stored[19], stored[26]) == (27, "T", ".", "Z")
    assert datetime.fromisoformat(stored) == one
    assert (stored < store_moment(other)) == (one < other)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_the_present_is_stored_like_any_other(one: datetime) -> None:
    one = one.replace(tzinfo=UTC)
    assert moment((one - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)) == store_moment(one)
