"""What is kept of records: for a second, until the log tells of them, and bounded by bytes."""

from __future__ import annotations

from ramet.cache.records import ENTRY_OVERHEAD, LIFE, Records
from ramet.changes.change import Change, Kind


def change(record_id: str, kind: Kind = "updated", resource: str = "Task") -> Change:
    return Change(1, 0, resource, record_id, kind, 1, "ann", b"{}")


def test_what_is_logged_of_a_record_takes_what_was_kept() -> None:
    records = Records(100_000, ["Task"], lambda: 0.0)
    shelf = records.shelf("Task")
    assert shelf is not None
    for record_id in "abcd":
        records.put(shelf, record_id, 1, b"{}")
    records.apply([change("a"), change("b", "deleted"), change("c", resource="Log"), change("d", "created")])
    assert shelf == {"c": (1, b"{}")}
    records.clear()
    assert shelf == {}
    assert records.bytes == 0


def test_nothing_is_kept_for_longer_than_its_life() -> None:
    now = 100.0
    records = Records(100_000, ["Task"], lambda: now)
    shelf = records.shelf("Task")
    assert shelf is not None
    records.fresh()
    records.put(shelf, "a", 1, b"{}")
    now += LIFE - 0.01
    records.fresh()
    assert "a" in shelf
    now += 0.02
    records.fresh()
    assert shelf == {}


def test_the_bound_holds_whatever_the_size_of_records() -> None:
    records = Records(20 * (2 + ENTRY_OVERHEAD), ["Task"], lambda: 0.0)
    shelf = records.shelf("Task")
    assert shelf is not None
    for number in range(200):
        records.put(shelf, str(number), 1, b"{}")
        assert len(shelf) * (2 + ENTRY_OVERHEAD) <= records.bytes <= records.capacity
    records.put(shelf, "large", 1, b"x" * records.capacity)
    assert "large" not in shelf


def test_without_capacity_nothing_is_kept() -> None:
    records = Records(0, ["Task"], lambda: 0.0)
    assert records.shelf("Task") is None
    records.apply([change("a")])
    records.clear()
