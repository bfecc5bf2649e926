"""What is kept of records: given by version only, followed from the log, and bounded by bytes."""

from __future__ import annotations

from ramet.cache.records import ENTRY_OVERHEAD, Records
from ramet.changes.change import Change, Kind


def change(record_id: str, version: int, kind: Kind = "updated", resource: str = "Task") -> Change:
    return Change(version, 0, resource, record_id, kind, version, "ann", b'{"v":%d}' % version)


def test_what_is_kept_follows_the_log_and_names_its_version() -> None:
    records = Records(100_000, ["Task"])
    shelf = records.shelf("Task")
    assert shelf is not None
    records.apply(
        [change("a", 1, "created"), change("b", 1, "created"), change("a", 2), change("x", 1, resource="Log")]
    )
    assert shelf.find("a") == (2, b'{"v":2}')
    assert shelf.find("b") == (1, b'{"v":1}')
    assert shelf.find("x") is None
    records.apply([change("a", 3, "deleted")])
    assert shelf.find("a") is None
    records.clear()
    assert shelf.find("b") is None
    assert records.bytes == 0


def test_what_is_used_stays_and_the_rest_goes_within_the_bound() -> None:
    each = len(b'{"v":1}') + ENTRY_OVERHEAD
    records = Records(20 * each, ["Task"])
    shelf = records.shelf("Task")
    assert shelf is not None
    for number in range(200):
        records.apply([change(str(number), 1, "created")])
        assert shelf.find("0") == (1, b'{"v":1}')
        assert records.bytes <= 20 * each
        assert len(shelf.recent) + len(shelf.older) <= 20
    assert shelf.find("150") is None


def test_without_capacity_nothing_is_kept() -> None:
    records = Records(0, ["Task"])
    assert records.shelf("Task") is None
    records.apply([change("a", 1)])
    records.clear()
    assert records.bytes == 0
