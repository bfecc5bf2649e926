"""Migrations on a database server: nothing by itself, one at a time, and nothing left to do afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest

from ramet import Digits, Index, Ref, Unique
from ramet.data.migrations.failures import MigrationError
from ramet.declare.resource import Resource
from tests.unit.data.declarations import made, ring, task
from tests.unit.data.places import Place, thing


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_new_database_is_given_everything_and_then_there_is_nothing_to_do(place: Place) -> None:
    declared = thing(indexes=[Index("due", "-title"), Index("title", unique=True)], search=("title",))
    assert not place.current(declared)
    assert place.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'ramet%'") == "0", "looking makes nothing"
    told = place.migrator(declared).apply(reviewed=False)
    assert "table things is made" in told
    assert place.current(declared)
    plan = place.migrator(declared).plan()
    assert (plan.steps, plan.derived, plan.pending) == ([], False, [])
    assert place.migrator(declared).apply(reviewed=False) == []


def test_safe_additions_are_made_and_rows_keep_what_they_have(place: Place) -> None:
    first = thing()
    place.migrator(first).apply(reviewed=False)
    place.add("a")
    other = made("Other", {"name": str}, path="others")
    second = thing(
        {
            "note": str | None,
            "number": int,
            "code": Annotated[str | None, Unique],
            "other": Annotated[str | None, Ref("Other")],
        },
        number=7,
        note=None,
        code=None,
        other=None,
        search=("title", "note"),
        indexes=[Index("number")],
    )
    assert not place.current(second, other)
    told = place.migrator(second, other).apply(reviewed=False)
    assert {"column things.number is added", "index ix_things_search is made", "table others is made"} <= set(told)
    assert place.current(second, other)
    assert place.migrator(second, other).plan().steps == []
    assert place.sql("SELECT title, amount, number, note FROM things") == "a|1.50|7|"
    told = place.migrator(first).apply(reviewed=False) if place.current(first) else []
    assert told == []


def test_what_could_lose_data_needs_a_revision_which_runs_as_it_was_written(place: Place) -> None:
    place.migrator(thing({"note": str | None}, note=None)).apply(reviewed=False)
    place.add("a")
    less = thing({"when": datetime | None, "price": Annotated[Decimal | None, Digits(18, 3)]}, when=None, price=None)
    with pytest.raises(MigrationError, match=r"column things\.note is dropped"):
        place.migrator(less).apply(reviewed=True)
    assert place.sql("SELECT count(note) FROM things") == "0"
    path = place.migrator(less).make("drop the note")
    assert "drop_column" in path.read_text()
    assert place.migrator(less).plan().pending == [path]
    told = place.migrator(less).apply(reviewed=True, keep=False)
    assert told
    assert not place.current(less), "an attempt leaves nothing"
    assert place.migrator(less).apply(reviewed=True) == told
    assert place.current(less)
    assert place.sql("SELECT title FROM things") == "a"


@pytest.mark.parametrize(
    "before",
    [
        thing({"w": str | None}, w=None, indexes=[Index("-w"), Index("title", "w", unique=True)]),
        thing({"w": Annotated[str | None, Ref("Other")]}, w=None),
        thing({"w": Annotated[str | None, Ref("Thing")]}, w=None),
    ],
    ids=["indexes", "reference", "own reference"],
)
def test_a_field_is_dropped_with_its_indexes(place: Place, before: type[Resource]) -> None:
    other = made("Other", {"name": str}, path="others")
    place.migrator(before, other).apply(reviewed=False)
    place.add("a")
    place.migrator(thing(), other).make("no w")
    assert place.migrator(thing(), other).apply(reviewed=True)[0] == "revision 0001_no_w is applied"
    assert place.current(thing(), other)
    assert place.migrator(thing(), other).plan() == ("0001", [], [], False)
    assert place.sql("SELECT title FROM things") == "a"


def test_resources_are_dropped_when_nothing_refers_to_them_any_more(place: Place) -> None:
    place.migrator(*ring()).apply(reviewed=False)
    place.migrator(task()).make("only tasks")
    assert place.migrator(task()).apply(reviewed=True)[0] == "revision 0001_only_tasks is applied"
    assert place.current(task())
    assert place.sql("SELECT relname FROM pg_class WHERE relname IN ('pots', 'gardens', 'labels', 'tasks')") == "tasks"


def test_where_no_table_differs_there_is_nothing_to_write_but_indexes_to_make(place: Place) -> None:
    place.migrator(thing(indexes=[Index("due")])).apply(reviewed=False)
    turned = place.migrator(thing(indexes=[Index("-due")]))
    assert turned.plan() == ("", [], [], True)
    with pytest.raises(MigrationError, match=r"nothing to write\. Run `ramet migrate apply` for what else"):
        turned.make("x")
    assert "index ix_things_due_desc_id_desc is made" in turned.apply(reviewed=False)
    assert turned.plan() == ("", [], [], False)


def test_of_many_at_once_one_migrates_and_the_others_wait(place: Place) -> None:
    with ThreadPoolExecutor(5) as pool:
        told = list(pool.map(lambda _: place.migrator(thing()).apply(reviewed=False), range(5)))
    assert sorted(map(bool, told)) == [False] * 4 + [True]
    assert place.current(thing())
