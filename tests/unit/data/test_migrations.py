"""A database is brought to its declaration without a loss, or left exactly as it was."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import apsw
import pytest

from ramet.data.migrations.failures import MigrationError
from ramet.data.migrations.lint import lint
from ramet.data.migrations.renames import read_rename
from ramet.data.migrations.runner import Plan
from ramet.declare.resource import Resource
from ramet.declare.types import Digits, Index, Ref, Unique
from tests.unit.data.declarations import World, found, made, ring, started, task


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_new_database_has_the_whole_schema_at_once(world: World) -> None:
    started(world)
    assert found(world, "ferns") == [(1,)]
    assert world.migrator(task()).plan() == Plan("", [], [], False)
    assert world.migrator(task()).apply(reviewed=False) == []


def test_another_declaration_is_not_current(world: World) -> None:
    started(world)
    assert not world.is_current(task({"stars": int}, stars=3))
    assert not world.is_current(task(indexes=[Index("title")]))
    assert world.is_current(task())


def test_additions_keep_rows_and_fill_them_with_defaults(world: World) -> None:
    started(world)
    wider = task(
        {"stars": int, "tags": list[str], "note": str | None, "price": Annotated[Decimal, Digits(8, 2)]},
        stars=3,
        tags=[],
        note=None,
        price=Decimal("1.50"),
    )
    told = world.migrator(wider).apply(reviewed=False)
    assert sorted(told) == [f"column tasks.{name} is added" for name in ("note", "price", "stars", "tags")]
    assert world.sql("SELECT id, title, stars, tags, note, price FROM tasks") == [
        ("1-0000", "Water the ferns", 3, "[]", None, 150)
    ]
    assert world.is_current(wider)
    assert found(world, "ferns") == [(1,)]


def test_a_new_resource_index_and_reference_are_additions(world: World) -> None:
    started(world)
    garden = made("Garden", {"name": Annotated[str, Unique]})
    wider = task({"garden": Annotated[str, Ref(garden)] | None}, garden=None, indexes=[Index("-title", "owner")])
    world.migrator(garden, wider).apply(reviewed=False)
    world.add("gardens", 7, name="North")
    world.add("tasks", 2, title="Weed", garden="7-0000")
    with pytest.raises(apsw.ConstraintError):
        world.add("gardens", 8, name="North")
    assert world.sql('SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'tasks\')') == [
        ("gardens", "garden", "id")
    ]
    assert world.sql("SELECT sql FROM sqlite_schema WHERE name = 'ix_tasks_title_desc_owner_id'") == [
        ("CREATE INDEX ix_tasks_title_desc_owner_id ON tasks (title DESC, owner, id)",)
    ]
    assert found(world, "weed") == [(2,)]


def test_replacing_a_table_keeps_directions_and_triggers(world: World) -> None:
    """What is reflected of an index has no direction, and triggers go with their table."""
    started(world, task({"stars": int}, stars=1, indexes=[Index("-stars", "title")]), stars=1)
    optional = task({"stars": int | None}, stars=None, indexes=[Index("-stars", "title")])
    fresh = World(world.file.parent / "fresh")
    assert fresh.is_current(optional)
    assert world.migrator(optional).apply(reviewed=False)[0] == "column tasks.stars may be empty"
    index = "SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY name"
    assert world.sql(index) == fresh.sql(index)
    world.add("tasks", 2, title="Prune", stars=None)
    assert found(world, "prune") == [(2,)]


def test_search_follows_its_fields(world: World) -> None:
    started(world, made("Task", {"title": str, "note": str}, note="none"), note="none")
    world.migrator(made("Task", {"title": str, "note": str}, note="none", search=("note",))).apply(reviewed=False)
    assert found(world, "none") == [(1,)]
    world.migrator(made("Task", {"title": str, "note": str}, note="none", search=("title",))).apply(reviewed=False)
    assert found(world, "none") == []
    assert found(world, "ferns") == [(1,)]
    world.migrator(made("Task", {"title": str, "note": str}, note="none")).apply(reviewed=False)
    assert world.sql("SELECT name FROM sqlite_schema WHERE name LIKE '%fts%'") == []


@pytest.mark.parametrize(
    ("before", "values", "after", "danger"),
    [
        (task({"note": str}, note=""), {"note": "n"}, task(), "column tasks.note is dropped: its values would be lost"),
        (task(), {}, task({"kind": str}), "column tasks.kind is added: existing rows would have no value"),
        (
            task({"note": str | None}, note=None),
            {},
            task({"note": str}, note=""),
            "tasks.note must have a value",
        ),
        (
            task({"size": int}, size=1),
            {"size": 1},
            task({"size": str}, size=""),
            "from BIGINT to TEXT: values",
        ),
        (
            task(),
            {},
            made("Task", {"title": Annotated[str, Unique]}, search=("title",)),
            "unique by title: existing",
        ),
        (
            task({"day": str}, day=""),
            {"day": "x"},
            task({"day": date | None}, day=None),
            "change from text to date: what",
        ),
        (
            task({"price": Annotated[Decimal, Digits(8, 2)]}, price=Decimal(1)),
            {"price": 100},
            task({"price": Annotated[Decimal, Digits(8, 3)]}, price=Decimal(1)),
            "tasks.price change from decimal(2) to decimal(3): what is stored would be read wrongly",
        ),
    ],
    ids=["drop", "required", "not null", "type", "unique", "meaning", "places"],
)
def test_what_could_lose_data_is_refused(
    world: World, before: type[Resource], values: dict[str, Any], after: type[Resource], danger: str
) -> None:
    started(world, before, **values)
    content = world.content()
    for reviewed in (False, True):
        with pytest.raises(MigrationError) as caught:
            world.migrator(after).apply(reviewed=reviewed)
        assert danger in str(caught.value)
        assert "ramet migrate make" in str(caught.value)
        assert world.content() == content
    assert world.is_current(before)


def test_a_dropped_resource_is_refused_until_it_is_reviewed(world: World) -> None:
    other = made("Garden", {"name": str})
    started(world, task(), other)
    with pytest.raises(MigrationError, match="table gardens is dropped: its rows would be lost"):
        world.migrator(task()).apply(reviewed=False)
    path = world.migrator(task()).make("no gardens")
    assert [finding.step for finding in lint(path)] == ["op.drop_table('gardens')"]
    assert world.migrator(task()).apply(reviewed=True) == [f"revision {path.stem} is applied"]
    assert world.sql("SELECT name FROM sqlite_schema WHERE name LIKE '%gardens%'") == []
    assert world.is_current(task())


@pytest.mark.parametrize(
    ("before", "after", "renames"),
    [
        (task({"w": str | None}, w=None, indexes=[Index("w")]), task(), []),
        (task({"w": str | None}, w=None, indexes=[Index("-w", "title")]), task(), []),
        (task({"w": str | None}, w=None, indexes=[Index("title", "w", unique=True)]), task(), []),
        (task({"w": Annotated[str | None, Unique]}, w=None), task(), []),
        (task({"w": Annotated[str | None, Ref("Garden")]}, w=None), task(), []),
        (task({"w": Annotated[str | None, Ref("Task")]}, w=None), task(), []),
        (
            task(
                {"w": str | None, "kind": str | None},
                w=None,
                kind=None,
                indexes=[Index("w"), Index("kind", "-w"), Index("kind")],
            ),
            task({"sort_of": str | None}, sort_of=None, indexes=[Index("sort_of")]),
            ["tasks.kind=sort_of"],
        ),
    ],
    ids=["index", "descending", "unique index", "unique", "reference", "own reference", "beside a rename"],
)
def test_a_field_is_dropped_with_its_indexes(
    world: World, before: type[Resource], after: type[Resource], renames: list[str]
) -> None:
    garden = made("Garden", {"name": str})
    started(world, before, garden)
    if renames:
        world.sql("UPDATE tasks SET kind = 'chore'")
    path = world.migrator(after, garden).make("no w", [read_rename(text) for text in renames])
    content = world.content()
    tried = world.migrator(after, garden).apply(reviewed=True, keep=False)
    assert tried[0] == f"revision {path.stem} is applied"
    assert world.content() == content
    assert world.migrator(after, garden).apply(reviewed=True) == tried
    assert world.is_current(after, garden)
    assert world.migrator(after, garden).plan() == ("0001", [], [], False)
    fresh = World(world.file.parent / "fresh")
    assert fresh.is_current(after, garden)
    index = "SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY name"
    assert world.sql(index) == fresh.sql(index)
    assert world.sql("SELECT sort_of FROM tasks" if renames else "SELECT 'chore' FROM tasks") == [("chore",)]
    assert found(world, "ferns") == [(1,)]


def test_resources_are_dropped_when_nothing_refers_to_them_any_more(world: World) -> None:
    """Those that stay first, then those that refer to others, and rings are opened."""
    before = ring()
    started(world, *before)
    world.add("pots", 5)
    world.sql("UPDATE tasks SET pot = '5-0000'")
    path = world.migrator(task()).make("only tasks")
    steps = [line.strip() for line in path.read_text().splitlines() if "op.drop" in line or "alter_table" in line]
    assert steps == [
        'with op.batch_alter_table("tasks", schema=None) as batch_op:',
        'batch_op.drop_constraint(batch_op.f("fk_tasks_pot"), type_="foreignkey")',
        'batch_op.drop_column("pot")',
        'op.drop_table("labels")',
        'with op.batch_alter_table("gardens", schema=None) as batch_op:',
        'batch_op.drop_constraint("fk_gardens_pot", type_="foreignkey")',
        'op.drop_table("pots")',
        'op.drop_table("gardens")',
    ]
    assert world.migrator(task()).apply(reviewed=True) == [f"revision {path.stem} is applied"]
    assert world.is_current(task())
    assert found(world, "ferns") == [(1,)]


def test_tables_of_somebody_else_are_left_alone(world: World) -> None:
    started(world)
    world.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, text)")
    assert world.migrator(task()).plan().steps == []


def test_a_rename_keeps_the_values(world: World) -> None:
    started(world, task({"kind": Annotated[str, Unique]}), kind="chore")
    after = task({"sort_of": Annotated[str, Unique]})
    before = world.sql("SELECT row_id, kind FROM tasks")
    with pytest.raises(MigrationError, match="--rename"):
        world.migrator(after).apply(reviewed=False)
    path = world.migrator(after).make("rename kind", [read_rename("tasks.kind=sort_of")])
    assert "new_column_name" in path.read_text()
    assert "drop_column" not in path.read_text()
    world.migrator(after).apply(reviewed=True)
    assert world.sql("SELECT row_id, sort_of FROM tasks") == before
    assert found(world, "ferns") == [(1,)]
    assert world.is_current(after)
