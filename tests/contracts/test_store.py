"""What every Store and its log must do, whichever database is behind it. A further one is one more parameter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select

from ramet.app import App
from ramet.changes.change import Change, Position
from ramet.changes.feed import Recent
from ramet.data.engines import engine_for, open_store, prepare_schema
from ramet.data.schema import Schema
from ramet.data.statement import Statement, compile_statement
from ramet.data.store import Awaited, Entry, Store, Transaction
from ramet.declare.catalog import Catalog
from ramet.errors import Problem
from ramet.observe import Observer
from ramet.settings import Settings
from tests import databases
from tests.instances import pooler

Opens = Callable[[], AbstractAsyncContextManager[Store]]


class Place:
    """A database of one kind: its address, its statements on the table of facts, and stores on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = engine_for(url)
        self.catalog = Catalog([])
        self.schema = Schema(self.catalog, self.engine)
        facts = self.schema.facts
        columns: dict[str, Any] = {"name": bindparam("name"), "value": bindparam("value")}
        self.put = self.compiled(insert(facts).values(columns))
        self.named = self.compiled(select(facts.c.value).where(facts.c.name == bindparam("name")))

    def compiled(self, clause: Any) -> Statement:
        return compile_statement(clause, self.engine.dialect)

    @asynccontextmanager
    async def store(self, **given: Any) -> AsyncIterator[Store]:
        if self.engine.migrates_at_start:
            assert prepare_schema(self.url, self.schema, self.catalog)
        settings = Settings.read({}, database_url=self.url, **given)
        store = open_store(settings, self.schema, self.catalog, Observer(), lambda: 5_000_000)
        await store.start()
        await store.feed.start()
        try:
            yield store
        finally:
            await store.stop()

    async def keep(self, store: Store, name: str, value: str = "v") -> None:
        async def work(tx: Transaction) -> None:
            await tx.fetch(self.put, {"name": name, "value": value})
            await tx.log("Fact", name, "created", 1, "owner", value.encode())

        await store.write(work)


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of each kind that there is, and of each way to it."""
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path / 'data.db'}")
    url = databases.fresh(databases.named(tmp_path), App(resources=[]))
    port = databases.server().port
    return Place(url if request.param == "postgresql" else url.replace(f":{port}/", f":{pooler(port)}/"))


async def end_of(store: Store) -> str:
    """The bookmark after everything that is in the log."""
    rows, bookmark = await store.changes.page("", 100_000)
    return bookmark if not rows else (await store.changes.page(bookmark, 1))[1]


async def after(store: Store, bookmark: str) -> list[Change]:
    """What the log has beyond a bookmark, read in pages of three."""
    found: list[Change] = []
    while True:
        rows, bookmark = await store.changes.page(bookmark, 3)
        if not rows:
            return found
        found += rows


def place_of(change: Change) -> int:
    return change.xid or change.seq


async def test_what_is_written_is_read_at_once_by_every_store_on_the_database(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        await place.keep(one, "a", "1")
        for store in (one, two):
            assert [tuple(row) for row in await store.fetch(place.named, {"name": "a"})] == [("1",)]
            assert list(await store.fetch(place.named, {"name": "none"})) == []


async def test_a_transaction_sees_itself_and_nobody_else_sees_it_before_its_end(place: Place) -> None:
    async with place.store() as store:

        async def work(tx: Transaction) -> None:
            await tx.fetch(place.put, {"name": "a", "value": "1"})
            assert len(await tx.fetch(place.named, {"name": "a"})) == 1
            assert len(await store.fetch(place.named, {"name": "a"})) == 0

        await store.write(work)
        assert len(await store.fetch(place.named, {"name": "a"})) == 1


async def test_what_work_raises_reaches_its_caller_and_undoes_it_with_its_log(place: Place) -> None:
    async with place.store() as store:

        async def work(tx: Transaction) -> None:
            await tx.fetch(place.put, {"name": "a", "value": "1"})
            await tx.log("Fact", "a", "created", 1, None, None)
            raise KeyError("mine")

        head = await end_of(store)
        with pytest.raises(KeyError, match="mine"):
            await store.write(work)
        assert list(await store.fetch(place.named, {"name": "a"})) == []
        assert await after(store, head) == []


async def test_a_simple_insertion_is_logged_at_its_place_and_a_refused_one_is_not(place: Place) -> None:
    async with place.store() as store:
        head = await end_of(store)

        async def kept(name: str) -> Position:
            told: Awaited[Position] = Awaited()
            store.insert(place.put, (name, "v"), Entry("Fact", name, "created", 1, "owner", b"{}"), told.settle)
            return await told

        *both, last = await asyncio.gather(kept("a"), kept("a"), kept("b"), return_exceptions=True)
        first, again = sorted(both, key=lambda one: isinstance(one, Problem))  # either may be first on its connection
        assert isinstance(first, Position)
        assert isinstance(again, Problem)
        assert isinstance(last, Position)
        assert again.kind.code == "not_unique"
        changes = await after(store, head)
        assert {(change.record_id, change.kind, change.at) for change in changes} == {
            ("a", "created", 5_000_000),
            ("b", "created", 5_000_000),
        }
        assert {change.record_id: place_of(change) for change in changes} == {"a": first.seq, "b": last.seq}
        assert first.incarnation == store.incarnation


async def test_a_part_is_undone_alone(place: Place) -> None:
    async with place.store() as store:

        async def part(tx: Transaction) -> None:
            await tx.fetch(place.put, {"name": "b", "value": "1"})
            raise KeyError("part")

        async def work(tx: Transaction) -> None:
            await tx.fetch(place.put, {"name": "a", "value": "1"})
            with pytest.raises(KeyError):
                await tx.part(lambda: part(tx))
            with pytest.raises(Problem):
                await tx.part(lambda: tx.fetch(place.put, {"name": "a", "value": "again"}))
            await tx.fetch(place.put, {"name": "c", "value": "1"})

        await store.write(work)
        found = [len(await store.fetch(place.named, {"name": name})) for name in "abc"]
        assert found == [1, 0, 1]


async def test_two_equal_unique_values_are_a_conflict_and_leave_the_first(place: Place) -> None:
    async with place.store() as store:
        await place.keep(store, "a", "1")
        with pytest.raises(Problem) as refused:
            await place.keep(store, "a", "2")
        assert refused.value.kind.code == "not_unique"
        assert [tuple(row) for row in await store.fetch(place.named, {"name": "a"})] == [("1",)]


async def test_the_log_has_every_change_once(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        head = await end_of(one)
        writes = [place.keep(store, f"{name}{n}") for n in range(10) for name, store in (("a", one), ("b", two))]
        await asyncio.gather(*writes)
        rows = await after(two, head)
        assert sorted(row.record_id for row in rows) == sorted(f"{name}{n}" for n in range(10) for name in "ab")
        assert [row.seq for row in rows] == sorted(row.seq for row in rows)
        assert await after(one, head) == rows
        assert await after(one, await end_of(one)) == []
        first = rows[0]
        assert (first.resource, first.kind, first.version, first.owner) == ("Fact", "created", 1, "owner")
        assert (first.record, first.at) == (b"v", 5_000_000)


async def test_a_reader_whose_page_is_exactly_full_goes_on_from_its_bookmark(place: Place) -> None:
    """The bookmark of an empty page need not be kept: whoever asks again with the one before misses nothing."""
    async with place.store() as store:
        bookmark = await end_of(store)
        for name in "abc":
            await place.keep(store, name, "1")
        rows, bookmark = await store.changes.page(bookmark, 3)
        assert [change.record_id for change in rows] == ["a", "b", "c"]
        assert (await store.changes.page(bookmark, 3))[0] == []
        await place.keep(store, "d", "1")
        for _ in range(2):
            assert [change.record_id for change in (await store.changes.page(bookmark, 3))[0]] == ["d"]


async def test_a_copy_made_anew_is_given_some_resources_from_a_time_on(place: Place) -> None:
    async with place.store() as store:
        await place.keep(store, "a")
        wanted = [(5_000_000, ("Fact", "Other")), (5_000_001, ("Fact",)), (0, ("Other",))]
        seen: list[list[str]] = [[], [], []]
        for (at, resources), told in zip(wanted, seen, strict=True):
            recent = Recent(lambda at=at: at, resources)
            store.feed.subscribe(lambda changes, told=told: told.extend(it.record_id for it in changes), recent=recent)
        await store.feed.start()
        assert seen == [["a"], [], []]


async def test_a_position_is_that_of_the_newest_row_and_none_without_one(place: Place) -> None:
    async with place.store(max_staleness=60.0) as store:

        async def silent(tx: Transaction) -> object:
            await tx.fetch(place.put, {"name": "a", "value": "1"})
            return tx.position

        async def logs(tx: Transaction) -> object:
            for number in range(3):
                await tx.log("Fact", str(number), "updated", number, None, None)
            return tx.position

        assert await store.write(silent) is None
        head = await end_of(store)
        position = await store.write(logs)
        newest = (await after(store, head))[-1]
        assert str(position) == f"{store.incarnation}-{place_of(newest)}"
        assert store.feed.sync()
        assert store.feed.reached(str(position))
        assert not store.feed.reached(str(Position(store.incarnation, place_of(newest) + 1)))
        assert not store.feed.reached(str(Position("00000000", 1)))


async def test_all_stores_agree_on_facts_and_on_who_leads(place: Place) -> None:
    async with place.store() as one:
        async with place.store() as two:
            agreed = await asyncio.gather(one.fact("secret", lambda: "first"), two.fact("secret", lambda: "second"))
            assert agreed[0] == agreed[1]
            assert one.incarnation == two.incarnation
            assert await two.lead("chore")
            assert await two.lead("chore")
            assert not await one.lead("chore")
            assert await one.lead("another")
        assert await one.lead("chore"), "whoever leads and stops makes room"
    async with place.store() as again:
        assert await again.fact("secret", lambda: "third") == agreed[0]


async def test_beyond_the_queue_writes_are_refused_and_a_stopped_store_takes_none(place: Place) -> None:
    async with place.store(write_queue_limit=2) as store:
        results = await asyncio.gather(*[place.keep(store, str(n)) for n in range(4)], return_exceptions=True)
        codes = [result.kind.code for result in results if isinstance(result, Problem)]
        assert codes == ["overloaded", "overloaded"]
        assert store.waiting == 0
        await store.ping()


async def told_by(store: Store) -> list[tuple[str, str]]:
    """What confirmed subscribers are given: each record's id and the mark of its row."""
    told: list[tuple[str, str]] = []

    def apply(changes: Sequence[Change]) -> None:
        told.extend((change.record_id, store.feed.place.mark(change.seq)) for change in changes)

    store.feed.subscribe(apply, confirmed=True)
    return told


async def replayed(store: Store, mark: str) -> list[str]:
    """What is told to a follower that comes back with a mark, in pages of two."""
    found: list[str] = []
    while True:
        page = await store.changes.replay(mark, 2)
        assert page is not None
        found += [change.record_id for change in page.changes]
        mark = page.end
        if not page.more:
            return found


async def test_whoever_comes_back_with_a_mark_is_told_the_rest_once_and_in_order(place: Place) -> None:
    async with place.store() as store, place.store() as other:
        told = await told_by(store)
        start = store.feed.mark
        for name in "abc":
            await place.keep(store, name)
        await store.feed.catch_up()
        middle = store.feed.mark
        for name in "defg":
            await place.keep(other, name)
        await store.feed.catch_up()
        assert [name for name, _ in told] == list("abcdefg"), "each once, own ones too"
        assert len({mark for _, mark in told}) == 7
        for asked in (store, other):
            assert await replayed(asked, start) == list("abcdefg")
            assert await replayed(asked, middle) == list("defg")
            for number, (_, mark) in enumerate(told):
                assert await replayed(asked, mark) == list("abcdefg")[number + 1 :]
        assert await replayed(store, store.feed.mark) == []


async def test_a_row_of_a_transaction_that_ends_late_is_told_to_whoever_had_gone_on(place: Place) -> None:
    async with place.store() as store:
        if store.one_at_a_time:
            return  # nothing ends late there
        told = await told_by(store)
        begun, end = asyncio.Event(), asyncio.Event()

        async def late(tx: Transaction) -> None:
            await tx.fetch(place.put, {"name": "late", "value": "v"})
            await tx.log("Fact", "late", "before", 1, None, b"1")
            begun.set()
            await end.wait()
            await tx.log("Fact", "late", "updated", 2, None, b"2")

        writing = asyncio.ensure_future(store.write(late))
        await begun.wait()
        for name in "ab":
            await place.keep(store, name)
        await store.feed.catch_up()
        first = [mark for _, mark in told]
        end.set()
        await writing
        await place.keep(store, "c")
        await store.feed.catch_up()
        assert [name for name, _ in told] == ["a", "b", "late", "late", "c"]
        assert await replayed(store, first[0]) == ["b", "late", "late", "c"]
        assert await replayed(store, first[1]) == ["late", "late", "c"]
        page = await store.changes.replay(first[1], 1)
        while page is not None and not page.changes:
            page = await store.changes.replay(page.end, 1)  # nothing was left of the rows that its last one came with
        assert page is not None
        assert [change.kind for change in page.changes] == ["before", "updated"], "never one without the other"
        assert await replayed(store, page.end) == ["c"]


async def test_a_mark_that_was_not_given_out_here_is_none(place: Place) -> None:
    async with place.store() as store:
        await place.keep(store, "a")
        await store.feed.catch_up()
        mark = store.feed.mark
        assert await store.changes.replay(mark, 9) is not None
        _, _, rest = mark.partition("-")
        for strange in ("", "x", f"00000000-{rest}", mark + "0" * 12, mark + "\u0661", f"{mark}-", "9" * 500):
            assert await store.changes.replay(strange, 9) is None, strange
