"""Places for streams: bounded for a caller, an address and the process, and given back."""

from __future__ import annotations

import pytest

from ramet.errors import Problem
from ramet.limits.streams import StreamPlaces
from ramet.observe import LimitRefused, Observer
from ramet.settings import Settings


def refused(places: StreamPlaces, caller: str | None, address: str) -> str:
    with pytest.raises(Problem) as problem:
        places.enter(caller, address)
    assert problem.value.retry_after == 5
    return problem.value.kind.code


def test_each_bound_refuses_by_itself_and_a_place_given_back_is_free() -> None:
    observer = Observer()
    seen: list[LimitRefused] = []
    observer.subscribe(LimitRefused, seen.append)
    places = StreamPlaces(Settings(stream_limit=4, stream_limit_caller=1, stream_limit_address=2), observer)
    places.enter("ada", "a")
    assert refused(places, "ada", "b") == "rate_limited"
    places.enter(None, "a")
    assert refused(places, "bob", "a") == "rate_limited"
    places.enter("bob", "b")
    places.enter(None, "b")
    assert refused(places, "cy", "c") == "overloaded"
    assert [refusal.policy for refusal in seen] == ["streams"] * 3
    places.leave("ada", "a")
    places.enter("ada", "c")
    assert places.current == 4
