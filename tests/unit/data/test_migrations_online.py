"""Migrations of tables in use: others go on reading and writing, and what was cut off is gone on with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest

from ramet import Index, Unique
from ramet.app import App
from ramet.data.migrations.failures import MigrationError
from ramet.data.postgres import building, dbapi, derived
from ramet.declare.resource import Resource
from ramet.errors import Unready
from ramet.settings import Settings
from tests.process.harness import eventually
from tests.unit.data.declarations import made
from tests.unit.data.places import ADD, Place, thing

BY_DUE = "ix_things_due_id"
BY_TITLE = "ix_things_title_unique"
WRITES = ADD.format("open", "open")
READS = "SELECT count(*) FROM things"
BUILDS = "FROM pg_stat_activity WHERE query LIKE 'CREATE % CONCURRENTLY%' AND wait_event_type = 'Lock'"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A database with some things."""
    found = Place(tmp_path)
    found.migrator(thing(search=("title",))).apply(reviewed=False)
    for title in ("a", "b"):
        found.add(title)
    return found


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that gives up soon."""
    monkeypatch.setattr(dbapi, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(dbapi, "MOMENT", 0.2)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as found:
        yield found


def indexed(**more: Any) -> type[Resource]:
    return thing(search=("title",), indexes=[Index("due")], **more)


def unique() -> type[Resource]:
    return made("Thing", {**thing().__annotations__, "title": Annotated[str, Unique]}, path="things", search=("title",))


def builds(place: Place, count: int = 1) -> None:
    """Waits until an index is being made and waits for others."""
    where = f"{BUILDS} AND datname = '{place.name}'"
    eventually(lambda: place.sql(f"SELECT count(*) {where}") == str(count))


def start(pool: ThreadPoolExecutor, place: Place, *resources: type[Resource]) -> Future[list[str]]:
    return pool.submit(lambda: place.migrator(*resources).apply(reviewed=True))


def test_others_write_while_an_index_is_made(place: Place, pool: ThreadPoolExecutor) -> None:
    with place.using(WRITES) as somebody:
        applied = start(pool, place, indexed())
        builds(place)
        for title in ("c", "d"):
            place.add(title)
        assert not applied.done()
        assert BY_DUE not in place.indexes(), "it has its name when it is complete"
        somebody.commit()
        assert applied.result() == [f"index {BY_DUE} is made"]
    assert place.indexes()[BY_DUE].startswith("true")
    assert not any(name.endswith("building") for name in place.indexes())
    assert place.current(indexed())
    assert not place.migrator(indexed()).plan().derived


def test_indexes_of_new_and_empty_tables_are_made_with_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> Iterator[str]:
        raise AssertionError

    monkeypatch.setattr(derived, "build", build)
    other = made("Other", {"name": Annotated[str, Unique]}, path="others")
    told = place.migrator(thing(search=("title",)), other).apply(reviewed=False)
    assert "index ix_others_name_unique is made" in told
    place.sql("DELETE FROM things")
    assert place.migrator(indexed(), other).apply(reviewed=False) == [f"index {BY_DUE} is made"]
    assert place.current(indexed(), other)


def test_what_was_cut_off_is_made_anew(place: Place, pool: ThreadPoolExecutor) -> None:
    with place.using(WRITES):
        applied = start(pool, place, indexed())
        builds(place)
        place.sql(f"SELECT pg_terminate_backend(pid) {BUILDS} AND datname = '{place.name}'")
        with pytest.raises(MigrationError, match=rf"{BY_DUE} was not made: .* Run `ramet migrate apply` again"):
            applied.result()
    [left] = [name for name in place.indexes() if name.endswith("building")]
    assert place.indexes()[left].startswith("false")
    assert not place.current(indexed())
    assert place.migrator(indexed()).plan().derived
    assert place.migrator(indexed()).apply(reviewed=False) == [f"index {BY_DUE} is made"]
    assert left not in place.indexes()
    assert place.indexes()[BY_DUE].startswith("true")
    assert place.current(indexed())


def test_what_was_complete_but_for_its_name_is_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def adopt(*_: object) -> None:
        raise MigrationError

    with monkeypatch.context() as patched:
        patched.setattr(building, "_adopt", adopt)
        with pytest.raises(MigrationError):
            place.migrator(indexed()).apply(reviewed=False)
    [(_, before)] = [(name, state) for name, state in place.indexes().items() if name.endswith("building")]
    assert place.migrator(indexed()).apply(reviewed=False) == [f"index {BY_DUE} is made"]
    assert place.indexes()[BY_DUE] == before, "the same one"


def test_one_that_another_leaves_unfinished_under_its_own_name_is_made_anew(place: Place) -> None:
    """As somebody does who makes it by hand beforehand."""
    place.sql(f"CREATE INDEX {BY_DUE} ON things (due)")
    place.sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{BY_DUE}'::regclass")
    place.migrator(indexed()).apply(reviewed=False)
    assert place.indexes()[BY_DUE].startswith("true")
    assert "id" in place.sql(f"SELECT pg_get_indexdef('{BY_DUE}'::regclass)").partition("due")[2]


def test_what_is_replaced_serves_until_its_successor_stands(place: Place, pool: ThreadPoolExecutor) -> None:
    note: dict[str, Any] = {"note": str | None}
    place.migrator(thing(note, note=None, search=("title",))).apply(reviewed=False)
    before = place.indexes()["ix_things_search"]
    with place.using(WRITES) as somebody:
        applied = start(pool, place, thing(note, note=None, search=("note",)))
        builds(place)
        assert place.indexes()["ix_things_search"] == before
        somebody.rollback()
        assert applied.result() == []
    assert place.indexes()["ix_things_search"] != before
    assert "title" not in place.sql("SELECT pg_get_indexdef('ix_things_search'::regclass)")


def test_an_index_that_nobody_needs_is_dropped_while_others_write(place: Place, pool: ThreadPoolExecutor) -> None:
    place.migrator(indexed()).apply(reviewed=False)
    with place.using(WRITES) as somebody:
        applied = start(pool, place, thing(search=("title",)))
        eventually(lambda: "t" in place.sql("SELECT query LIKE 'DROP INDEX CONC%' FROM pg_stat_activity"))
        place.add("c")
        somebody.commit()
        assert applied.result() == [f"index {BY_DUE} is dropped"]


def test_what_is_not_unique_is_told_and_gone_on_with_when_it_is(place: Place) -> None:
    place.add("a", "second")
    place.migrator(unique()).make("titles are unique")
    told: list[str] = []
    with pytest.raises(MigrationError) as caught:
        place.migrator(unique()).apply(reviewed=True, tell=told.append)
    assert re.search(rf"{BY_TITLE} could not be made: .*\(title\)=\(a\) is duplicated", str(caught.value), re.DOTALL)
    assert told == ["revision 0001_titles_are_unique is applied"]
    assert not any("building" in name or name == BY_TITLE for name in place.indexes())
    place.add("b", "third")
    with pytest.raises(MigrationError, match="is duplicated"):
        place.migrator(unique()).apply(reviewed=False)
    place.sql("DELETE FROM things WHERE id IN ('second', 'third')")
    assert place.migrator(unique()).plan().steps == [], "it was agreed on"
    assert place.migrator(unique()).apply(reviewed=False) == [f"index {BY_TITLE} is made"]
    with pytest.raises(RuntimeError, match="duplicate key"):
        place.add("a", "second")
    assert place.current(unique())
    assert place.sql("SELECT value FROM ramet_facts WHERE name = 'awaited'") == "[]"


async def test_who_counts_on_uniqueness_waits_for_it_and_nobody_else(place: Place) -> None:
    place.add("a", "second")
    place.migrator(unique()).make("titles are unique")
    with pytest.raises(MigrationError):
        place.migrator(unique()).apply(reviewed=True)

    async def opens(declared: type[Resource]) -> str:
        app = App(resources=[declared])
        app.configure(Settings(database_url=place.url, log_level="error"))
        try:
            await app.open()
        except Unready as error:
            return str(error)
        await app.shutdown()
        return ""

    assert "Unique indexes are still being made. `ramet migrate apply`" in await opens(unique())
    assert await opens(thing(search=("title",))) == "", "the code of before"
    place.sql("DELETE FROM things WHERE id = 'second'")
    place.migrator(unique()).apply(reviewed=False)
    assert await opens(unique()) == ""


@pytest.mark.usefixtures("hasty")
def test_a_long_reader_stops_the_migration_and_nobody_else(place: Place, pool: ThreadPoolExecutor) -> None:
    wider = thing({"note": str | None}, note=None, search=("title",))
    content = place.sql("SELECT * FROM things ORDER BY id")
    with place.using(READS) as somebody:
        applied = start(pool, place, wider)
        wrote = 0
        while not applied.done():
            place.add(f"w{wrote}")
            wrote += 1
        assert wrote
        with pytest.raises(MigrationError) as caught:
            applied.result()
        pid = somebody.info.backend_pid
    said = str(caught.value)
    assert re.search(rf"process {pid} \(somebody, idle in transaction\) has used [^;]*things[^;]* for \d+ s", said)
    assert f"end it with SELECT pg_terminate_backend({pid}). Nothing was changed. Run `ramet migrate apply`" in said
    assert place.sql("SELECT * FROM things WHERE title NOT LIKE 'w%' ORDER BY id") == content
    assert place.migrator(wider).apply(reviewed=False) == ["column things.note is added"]
    assert place.current(wider)


def test_a_migration_that_was_in_the_way_is_tried_again(
    place: Place, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbapi, "PAUSES", (0.01,) * 1000)
    monkeypatch.setattr(dbapi, "MOMENT", 0.1)
    wider = thing({"note": str | None}, note=None, search=("title",))
    with place.using(READS) as somebody:
        applied = start(pool, place, wider)
        eventually(lambda: place.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER%'") != "0")
        place.add("c")
        somebody.commit()
        assert applied.result() == ["column things.note is added"]


def test_of_many_at_once_one_makes_the_index_and_nobody_waits_for_those_who_wait(
    place: Place, pool: ThreadPoolExecutor
) -> None:
    with place.using(WRITES) as somebody:
        running = [start(pool, place, indexed()) for _ in range(4)]
        builds(place)
        somebody.commit()
        assert sorted(one.result() for one in running) == [[], [], [], [f"index {BY_DUE} is made"]]


def test_a_migration_that_lost_its_lock_stops(place: Place, pool: ThreadPoolExecutor) -> None:
    holder = "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory' AND datname = "
    with place.using(WRITES) as somebody:
        applied = start(pool, place, indexed())
        builds(place)
        place.sql(f"SELECT pg_terminate_backend(pid) {holder}'{place.name}'")
        somebody.commit()
        with pytest.raises(MigrationError, match="cannot be migrated now"):
            applied.result()
    assert not place.current(indexed())
    assert place.migrator(indexed()).apply(reviewed=False) == []
    assert place.current(indexed())


def test_trying_makes_indexes_and_leaves_none(place: Place) -> None:
    before = place.indexes()
    assert place.migrator(indexed()).apply(reviewed=True, keep=False) == [f"index {BY_DUE} is made"]
    assert place.indexes() == before
    place.add("a", "second")
    place.migrator(unique()).make("titles are unique")
    with pytest.raises(MigrationError, match=r"is duplicated.* Nothing was changed"):
        place.migrator(unique()).apply(reviewed=True, keep=False)
    assert place.indexes() == before


def test_revisions_that_add_drop_and_add_a_unique_index_all_run_on_a_new_database(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second")
    for number, resource in enumerate((unique(), thing(search=("title",)), unique())):
        first.migrator(resource).make(f"step {number}")
        first.migrator(resource).apply(reviewed=True)
    second.folder = first.folder
    second.migrator(unique()).apply(reviewed=True)
    for place in (first, second):
        assert place.indexes()[BY_TITLE].startswith("true")
        assert place.current(unique())


def test_consent_to_a_unique_index_ends_when_it_is_not_wanted_any_more(place: Place) -> None:
    place.add("a", "another")
    plain = thing(search=("title",))
    place.migrator(unique()).make("unique titles")
    with pytest.raises(MigrationError, match=BY_TITLE):
        place.migrator(unique()).apply(reviewed=True)
    place.migrator(plain).apply(reviewed=True)
    with pytest.raises(MigrationError, match="could lose data"):
        place.migrator(unique()).apply(reviewed=True)
