"""Marks read back as written, stay short, and what was never given out is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.changes.snapshot import Snapshot
from ramet.changes.span import MOST_OPEN, Span, parse_mark

HEAD = "0a1b2c3d-00000001"


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    low = draw(st.integers(1, 2**62))
    running = draw(st.sets(st.integers(low, low + 2_000), max_size=MOST_OPEN))
    return Snapshot(low, max(running, default=low) + draw(st.integers(1, 9)), frozenset(running))


@given(snapshots(), snapshots(), st.integers(0, 2**62), st.integers(0, 2**61))
def test_marks_read_back_as_written(old: Snapshot, new: Snapshot, seq: int, at: int) -> None:
    span = Span("0a1b2c3d", "0000000A", at, old, new)
    inside, end = parse_mark(span.mark(seq)), parse_mark(span.end)
    assert inside is not None
    assert (inside.old, inside.new, inside.seq, inside.at) == (old, new, seq, at // 1_000_000 * 1_000_000)
    assert end is not None
    assert (end.old, end.new, end.seq) == (new, None, 0)


def test_with_very_many_open_transactions_a_mark_shows_less_never_more() -> None:
    running = frozenset(range(100, 100 + 4 * MOST_OPEN, 2))
    seen = Snapshot(100, 1_000, running)
    mark = parse_mark(Span("0a1b2c3d", "00000001", 0, seen, seen).end)
    assert mark is not None
    assert len(mark.old.open) == MOST_OPEN
    shown = [xid for xid in range(1, 1_001) if mark.old.shows(xid)]
    assert all(seen.shows(xid) for xid in shown)
    assert shown[-1] == 100 + 2 * MOST_OPEN - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEAD,
        f"{HEAD}-0-1",
        f"{HEAD}-0-0.1",
        f"{HEAD}-0-5.2.3",
        f"{HEAD}-0-5.2-5.2",
        f"{HEAD}-0-zzzzzzzzzzzzz.1",
        f"{HEAD}-0-5.2-6.2-zzzzzzzzzzzzz",
        f"{HEAD}-0-5.2-6.2-1-1",
        f"{HEAD}-0-5.2\n",
        f"{HEAD.upper()}-0-5.2",
    ],
)
def test_what_was_never_given_out_is_none(text: str) -> None:
    assert parse_mark(text) is None
    assert parse_mark(f"{HEAD}-0-5.2") is not None
