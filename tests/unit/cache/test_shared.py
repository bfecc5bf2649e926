"""Whether an answer of another process may be given is judged by what this one knows, and by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.cache.shared import FIRST, REMEMBERED, SharedCache
from ramet.changes.change import Change
from ramet.changes.snapshot import Snapshot, Stamp
from ramet.changes.source import Touched

KEY = ("Note.list", "", "limit=20", (("owner", "ann"), ()))
TAGS = ("Note:owner:ann",)
SECRET = bytes(32)


class Kept(dict[bytes, bytes]):
    """A place in this process, which can be gone."""

    failure = ConnectionError
    available = True
    broken = False

    async def get(self, key: bytes) -> bytes | None:
        if self.broken:
            raise ConnectionError
        return dict.get(self, key)

    async def put(self, key: bytes, value: bytes, seconds: float) -> None:
        if self.broken:
            raise ConnectionError
        self[key] = value


class Log:
    """Where a process has come to, and what was touched last."""

    def __init__(self, low: int = 10, high: int = 10, running: Sequence[int] = (), timeline: str = "1") -> None:
        self.stamp = Stamp(timeline, Snapshot(low, high, frozenset(running)))
        self.rows: list[Touched] = []

    async def touched(self, limit: int) -> Sequence[Touched]:
        return self.rows[:limit]


async def cache(place: Kept, log: Log, **more: Any) -> SharedCache:
    given = {"secret": SECRET, "namespace": "n", "limit": 1_000, "longest": 60.0, "now": lambda: 7.0, **more}
    found = SharedCache(place, log, **given)
    await found.start()
    return found


def change(xid: int, owner: str | None = "ann", record: str = "1") -> Change:
    return Change(xid, 0, "Note", record, "updated", 2, owner, b"{}", xid)


async def kept(place: Kept, log: Log, body: bytes = b"old") -> SharedCache:
    """A process that has left an answer."""
    writer = await cache(place, log)
    writer.keep(KEY, writer.stamp(), body, '"e"', 60)
    await writer.stop()
    return writer


async def body(reader: SharedCache, tags: tuple[str, ...] = TAGS) -> bytes | None:
    found = await reader.find(KEY, tags)
    return None if found is None else found.body


async def test_an_answer_is_given_until_something_touches_its_tags() -> None:
    place, log = Kept(), Log()
    await kept(place, log)
    reader = await cache(place, log)
    assert await body(reader) == b"old"
    reader.apply([change(11, owner="bob", record="2")])
    assert await body(reader) == b"old"
    reader.apply([change(12)])
    assert await body(reader) is None
    assert (reader.hits, reader.refused) == (2, 1)


async def test_one_that_shows_what_touched_it_is_given() -> None:
    place = Kept()
    reader = await cache(place, Log())
    reader.apply([change(12)])
    await kept(place, Log(12, 13, running=[12]))
    assert await body(reader) is None
    await kept(place, Log(12, 12))
    assert await body(reader) is None
    await kept(place, Log(11, 15, running=[11, 13]))
    assert await body(reader) == b"old"


async def test_a_new_process_judges_by_the_last_rows_of_the_log() -> None:
    place = Kept()
    await kept(place, Log(10, 10))
    log = Log(30, 30)
    log.rows = [Touched("Note", "2", "bob", 25), Touched("Note", "1", "ann", 5)]
    assert await body(await cache(place, log)) == b"old"
    log.rows.insert(0, Touched("Note", "1", "ann", 27))
    assert await body(await cache(place, log)) is None


async def test_what_is_older_than_what_was_read_of_the_log_is_not_trusted() -> None:
    place, log = Kept(), Log(30_000, 30_000)
    log.rows = [Touched("Note", "2", "bob", 29_999 - number) for number in range(FIRST)]
    await kept(place, Log(10_000, 10_000))
    assert await body(await cache(place, log)) is None
    await kept(place, Log(10_001, 10_001))
    assert await body(await cache(place, log)) == b"old"


async def test_after_missed_rows_and_on_another_timeline_nothing_from_before_is_given() -> None:
    place, log = Kept(), Log(10, 10)
    await kept(place, log)
    reader = await cache(place, log)
    reader.clear()
    log.stamp = Stamp("1", Snapshot(20, 20, frozenset()))
    assert await body(reader) is None
    await kept(place, Log(20, 20))
    assert await body(reader) == b"old"
    log.stamp = Stamp("2", Snapshot(20, 20, frozenset()))
    assert await body(reader) is None


async def test_many_transactions_on_one_tag_are_not_all_remembered_and_none_is_overlooked() -> None:
    place = Kept()
    reader = await cache(place, Log())
    reader.apply([change(100 + number) for number in range(REMEMBERED + 3)])
    highest = 100 + REMEMBERED + 3
    await kept(place, Log(100, highest + 5))
    assert await body(reader) is None  # it shows all of them, but the first are forgotten
    await kept(place, Log(104, highest + 5))
    assert await body(reader) == b"old"
    await kept(place, Log(104, highest + 5, running=[highest - 1]))
    assert await body(reader) is None


async def test_nothing_that_others_have_put_there_is_given() -> None:
    place, log = Kept(), Log()
    await kept(place, log)
    ((name, value),) = place.items()
    reader = await cache(place, log)
    for forged in (value[:-1] + b"x", b"", b"x" * 200, value + b"x"):
        place[name] = forged
        assert await body(reader) is None
    place[name] = value
    assert await body(reader) == b"old"
    assert await body(await cache(place, log, secret=b"1" * 32)) is None
    assert await body(await cache(place, log, namespace="m")) is None
    other = (*KEY[:3], (("owner", "bob"), ()))
    assert await reader.find(other, TAGS) is None
    reader.keep(other, reader.stamp(), b"bob's", '"b"', 60)
    await reader.stop()
    (stolen,) = [kept for key, kept in place.items() if key != name]
    place[name] = stolen
    assert await body(reader) is None


async def test_what_is_long_or_of_no_process_but_this_is_not_kept() -> None:
    place, log = Kept(), Log()
    writer = await cache(place, log)
    writer.keep(KEY, writer.stamp(), b"x" * 1_001, '"e"', 60)
    writer.keep(("k", object()), writer.stamp(), b"x", '"e"', 60)
    writer.keep(KEY, None, b"x", '"e"', 60)
    await writer.stop()
    assert place == {}
    assert await writer.find(("k", object()), TAGS) is None


async def test_where_nothing_can_be_kept_nothing_is_asked_and_nothing_raised() -> None:
    place, log = Kept(), Log()
    writer = await kept(place, log)
    place.broken = True
    assert await body(writer) is None
    writer.keep(KEY, writer.stamp(), b"x", '"e"', 60)
    await writer.stop()
    place.available = False
    assert writer.stamp() is None
    place.broken = False
    assert await body(writer) is None


async def test_the_age_of_an_answer_is_told() -> None:
    place, log = Kept(), Log()
    await kept(place, log)
    found = await (await cache(place, log, now=lambda: 9.5)).find(KEY, TAGS)
    assert found is not None
    assert (found.age, found.etag) == (2.5, '"e"')


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[tuple[str, int]]]:
    """Transactions in the order of their commits, and steps: a poll of the writer or of the reader, or an answer."""
    xids = draw(st.permutations(range(1, draw(st.integers(1, 25)) + 1)))
    steps = draw(st.lists(st.tuples(st.sampled_from(["write", "read"]), st.integers(0, len(xids))), max_size=20))
    return list(xids), steps


@given(histories(), st.integers(0, 2**30))
def test_no_answer_is_given_that_lacks_what_its_reader_has_applied(
    history: tuple[list[int], list[tuple[str, int]]], tagged: int
) -> None:
    """Ids are not the order of commits; whoever leaves an answer may be ahead of its reader or behind it."""
    order, steps = history
    touching = {xid for xid in order if tagged >> xid & 1}

    def snapshot(count: int) -> Snapshot:
        """As of the moment when so many had committed: the others run, or are still to come."""
        ended = set(order[:count])
        running = frozenset(set(order) - ended)
        return Snapshot(min(running, default=len(order) + 1), len(order) + 1, running)

    async def run() -> None:
        log, reached = Log(1, 1), 0
        reader = await cache(Kept(), log)
        for who, count in steps:
            if who == "read":
                new = order[reached:count]
                reached = max(reached, count)
                reader.apply([change(xid, owner="ann" if xid in touching else "bob", record="9") for xid in new])
                log.stamp = Stamp("1", snapshot(reached))
            else:
                known = touching & set(order[:reached])
                given = reader.holds(Stamp("1", snapshot(count)), TAGS)
                assert not given or known <= set(order[:count])
                if given:
                    continue
                if len(known) < REMEMBERED and snapshot(count).low > 0:
                    assert not known <= set(order[:count])  # nothing good is refused while all is remembered

    asyncio.run(run())


@pytest.mark.parametrize("part", ["timeline", "shows", "forgotten", "floor"])
async def test_each_safeguard_is_one_without_which_something_old_would_be_given(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutants of the judgement: each gives an answer that the whole one refuses."""
    place, log = Kept(), Log(1_000, 1_000)
    reader = await cache(place, log)
    if part == "timeline":
        stamp = Stamp("2", Snapshot(1_000, 1_000, frozenset()))
        monkeypatch.setattr(log, "stamp", Stamp("2", log.stamp.snapshot))
        without, monkeypatched = reader.holds(stamp, TAGS), Stamp("1", log.stamp.snapshot)
        monkeypatch.setattr(log, "stamp", monkeypatched)
        assert (without, reader.holds(stamp, TAGS)) == (True, False)
    elif part == "shows":
        reader.apply([change(1_001)])
        stamp = Stamp("1", Snapshot(1_000, 1_000, frozenset()))
        assert not reader.holds(stamp, TAGS)
        monkeypatch.setattr(Snapshot, "shows", lambda *_: True)
        assert reader.holds(stamp, TAGS)
    elif part == "forgotten":
        reader.apply([change(1_001 + number) for number in range(REMEMBERED + 1)])
        stamp = Stamp("1", Snapshot(1_001, 2_000, frozenset([1_001])))
        assert not reader.holds(stamp, TAGS)
        monkeypatch.setattr("ramet.cache.shared.REMEMBERED", REMEMBERED + 1)
        assert reader.holds(stamp, TAGS)
    else:
        reader.clear()
        stamp = Stamp("1", Snapshot(900, 900, frozenset()))
        assert not reader.holds(stamp, TAGS)
        reader._floor = 0
        assert reader.holds(stamp, TAGS)
