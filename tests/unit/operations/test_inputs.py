"""What a body says counts once: no key may occur twice, and no text may hold a NUL, whatever else is in it."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ramet import Length, Resource
from ramet.declare.catalog import Catalog
from ramet.errors import Problem
from ramet.operations.inputs import decode_input


class Thing(Resource):
    """A field of each kind of JSON value, all of which may be left out."""

    title: Annotated[str, Length(max=100)] | None = None
    status: Literal["new", "old"] | None = None
    amount: int | None = None
    share: float | None = None
    price: Decimal | None = None
    done: bool | None = None
    due_at: datetime | None = None
    day: date | None = None
    labels: list[str] | None = None


INFO = Catalog([Thing]).by_name["Thing"]
DECODER = msgspec.json.Decoder(INFO.inputs.create)
TEXTS = st.text(st.sampled_from('ab"\\/{}:,é'), max_size=6)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": TEXTS,
    "status": st.sampled_from(["new", "old"]),
    "amount": st.integers(-9, 9),
    "share": st.floats(-9, 9),
    "price": st.just("1.50"),
    "done": st.booleans(),
    "due_at": st.just("2031-02-02T09:30:00Z"),
    "day": st.just("2031-02-02"),
    "labels": st.lists(TEXTS, max_size=2),
}
PAIR = st.one_of([st.tuples(st.just(name), st.none() | values) for name, values in VALUES.items()])


def decoded(pairs: list[tuple[str, Any]]) -> Any:
    body = "{" + ",".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}"
    return decode_input(body.encode(), DECODER, INFO.fields, INFO.inputs.checked)


@given(st.lists(PAIR, max_size=6))
@example([("title", None), ("title", None)])
@example([("title", "a"), ("title", "b")])
@example([("amount", 1), ("done", True), ("amount", 1)])
@example([("day", None), ("day", "2031-02-02")])
@example([("due_at", "2031-02-02T09:30:00Z"), ("due_at", None), ("title", "a")])
def test_a_key_that_occurs_twice_is_refused_and_nothing_else_is(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) == len(names):
        value = decoded(pairs)
        for name in VALUES:
            found = getattr(value, name)
            assert (found is msgspec.UNSET) == (name not in names)
            assert (found is None) == (dict(pairs).get(name, "") is None)
    else:
        with pytest.raises(Problem) as refused:
            decoded(pairs)
        assert refused.value.kind.code == "invalid_json"
        assert "occurs twice" in str(refused.value.detail)


@pytest.mark.parametrize("pairs", [[("title", "a\0b")], [("labels", ["a", "\0"])]])
def test_a_nul_is_refused_and_pointed_at(pairs: list[tuple[str, Any]]) -> None:
    with pytest.raises(Problem) as refused:
        decoded(pairs)
    (fault,) = refused.value.faults
    assert (refused.value.kind.code, fault.pointer) == ("invalid_input", f"/{pairs[0][0]}")


def test_the_letters_of_a_nul_are_no_nul() -> None:
    assert decoded([("title", "\\u0000")]).title == "\\u0000"
