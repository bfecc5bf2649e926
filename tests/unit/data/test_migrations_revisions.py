"""Revisions are files that a person reads, edits and applies; one that fails changes nothing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import apsw
import pytest

from ramet.app import App
from ramet.data.migrations.failures import MigrationError
from ramet.data.migrations.lint import lint
from ramet.data.migrations.renames import read_rename
from ramet.declare.types import Digits, Index, Ref, Unique
from tests.unit.data.declarations import World, found, made, started, task


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def write(world: World, name: str, body: str, after: str = "None") -> Path:
    """A revision written by hand."""
    world.folder.mkdir(exist_ok=True)
    path = world.folder / f"{name}.py"
    head = f'from alembic import op\n\nrevision = "{name[:4]}"\ndown_revision = {after}\n\n\ndef upgrade():\n'
    path.write_text(head + "".join(f"    {line}\n" for line in body.splitlines()))
    return path


def test_a_revision_is_readable_and_says_what_is_lost(world: World) -> None:
    started(world, task({"note": str}, note=""), note="n")
    path = world.migrator(task()).make("No notes any more")
    assert path.name == "0001_no_notes_any_more.py"
    assert path.read_text() == (
        '"""No notes any more.\n'
        "\n"
        "Read it, change what needs changing, then run `ramet migrate apply`. It happens as a whole or not at all.\n"
        '"""\n'
        "\n"
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        "\n"
        'revision = "0001"\n'
        "down_revision = None\n"
        "\n"
        "\n"
        "def upgrade() -> None:\n"
        "    # column tasks.note is dropped: its values would be lost.\n"
        '    with op.batch_alter_table("tasks", schema=None) as batch_op:\n'
        '        batch_op.drop_column("note")\n'
        "\n"
    )
    assert world.migrator(task()).plan().pending == [path]
    assert world.migrator(task()).apply(reviewed=True) == ["revision 0001_no_notes_any_more is applied"]
    assert world.migrator(task()).plan() == ("0001", [], [], False)
    assert "note" not in [row[0] for row in world.sql("SELECT name FROM pragma_table_info('tasks')")]
    assert found(world, "ferns") == [(1,)]


def test_trying_a_revision_changes_nothing(world: World) -> None:
    started(world, task({"note": str}, note=""), note="n")
    world.migrator(task()).make("drop")
    content = world.content()
    assert world.migrator(task()).apply(reviewed=True, keep=False) == ["revision 0001_drop is applied"]
    assert world.content() == content


def test_what_waits_for_review_is_not_run_by_serving(world: World) -> None:
    started(world)
    write(world, "0001_touch", "op.execute(\"UPDATE tasks SET title = 'x'\")")
    wider = task({"stars": int}, stars=1)
    with pytest.raises(MigrationError, match=r"Revision 0001_touch is not applied yet\. Read it, then run"):
        world.migrator(wider).apply(reviewed=False)
    with pytest.raises(MigrationError, match="is not applied yet"):
        world.migrator(wider).make("more")
    assert not App(resources=[task()]).prepare(world.settings, "0001")
    assert len(world.migrator(wider).apply(reviewed=True)) == 2
    assert found(world, "x") == [(1,)]
    assert found(world, "ferns") == []
    assert App(resources=[wider]).prepare(world.settings, "0001")


def test_a_new_database_needs_no_revision(world: World) -> None:
    write(world, "0001_touch", "raise RuntimeError")
    assert App(resources=[task()]).prepare(world.settings, "0001")
    assert world.migrator(task()).plan() == ("0001", [], [], False)


def test_a_required_column_asks_for_the_value_of_existing_rows(world: World) -> None:
    started(world)
    after = task({"kind": str})
    path = world.migrator(after).make("kinds")
    content = world.content()
    with pytest.raises(MigrationError, match=r"0001_kinds failed: NotImplementedError: Give the column tasks\.kind"):
        world.migrator(after).apply(reviewed=True)
    assert world.content() == content
    lines = [line for line in path.read_text().splitlines() if "NotImplementedError" not in line]
    path.write_text("\n".join(lines).replace("nullable=False", 'nullable=False, server_default="chore"'))
    world.migrator(after).apply(reviewed=True)
    assert world.sql("SELECT kind FROM tasks") == [("chore",)]
    assert world.is_current(after)


def test_a_type_changes_by_a_reviewed_revision(world: World) -> None:
    started(world, task({"size": int}, size=1), size=42)
    after = task({"size": str}, size="")
    world.migrator(after).make("sizes are text")
    world.migrator(after).apply(reviewed=True)
    assert world.sql("SELECT size, typeof(size) FROM tasks") == [("42", "text")]
    assert world.is_current(after)


def test_values_whose_meaning_changes_are_converted_by_the_revision(world: World) -> None:
    started(world, task({"price": Annotated[Decimal, Digits(8, 2)]}, price=Decimal(1)), price=150)
    after = task({"price": Annotated[Decimal, Digits(8, 3)]}, price=Decimal(1))
    path = world.migrator(after).make("mills")
    assert 'becomes = {\n    "tasks.price": "decimal(3)",\n}' in path.read_text()
    lines = path.read_text().splitlines()
    asked = next(line for line in lines if "NotImplementedError" in line)
    edit(path, asked, '    op.execute("UPDATE tasks SET price = price * 10")')
    world.migrator(after).apply(reviewed=True)
    assert world.sql("SELECT price FROM tasks") == [(1500,)]
    assert world.is_current(after)


def test_uniqueness_on_duplicates_fails_and_leaves_the_data(world: World) -> None:
    started(world)
    world.add("tasks", 2, title="Water the ferns")
    after = made("Task", {"title": Annotated[str, Unique]}, search=("title",))
    world.migrator(after).make("unique titles")
    content = world.content()
    with pytest.raises(MigrationError, match=r"UNIQUE constraint failed: tasks.title. Nothing was changed."):
        world.migrator(after).apply(reviewed=True)
    assert world.content() == content
    world.sql("DELETE FROM tasks WHERE row_id = 2")
    world.migrator(after).apply(reviewed=True)
    with pytest.raises(apsw.ConstraintError):
        world.add("tasks", 3, title="Water the ferns")


def test_a_revision_that_fails_in_the_middle_leaves_everything(world: World) -> None:
    started(world)
    write(world, "0001_first", "op.execute('DELETE FROM tasks')")
    write(world, "0002_second", "op.drop_table('tasks')\nop.execute('SELECT * FROM missing')", after='"0001"')
    content = world.content()
    with pytest.raises(MigrationError, match=r"0002_second failed: no such table: missing\. Nothing was changed"):
        world.migrator(task()).apply(reviewed=True)
    assert world.content() == content


@pytest.mark.parametrize(
    "drop", ["op.drop_column('tasks', 'w')", "op.execute('ALTER TABLE \"tasks\" DROP w')"], ids=["operation", "SQL"]
)
def test_a_field_that_is_dropped_and_comes_back_has_its_indexes(world: World, drop: str) -> None:
    """Indexes are no step of a revision, whichever way it is written, and unique ones protect until then."""
    declared = task({"w": str}, w="", indexes=[Index("w"), Index("-title"), Index("title", unique=True)])
    started(world, declared, w="old")
    write(world, "0001_drop", f"{drop}\nop.execute('INSERT INTO seen SELECT name FROM sqlite_schema')")
    back = "op.execute(\"ALTER TABLE tasks ADD COLUMN w TEXT NOT NULL DEFAULT ''\")"
    write(world, "0002_back", back, after='"0001"')
    world.sql("CREATE TABLE seen (name TEXT)")
    assert len(world.migrator(declared).apply(reviewed=True)) == 2
    assert world.sql("SELECT w FROM tasks") == [("",)]
    seen = {row[0] for row in world.sql("SELECT name FROM seen WHERE name LIKE 'ix_tasks%'")}
    assert seen >= {"ix_tasks_title_unique", "ix_tasks_title_desc_id_desc"}, "others serve the revision"
    assert "ix_tasks_w_id" not in seen
    assert "ix_tasks_w_id" in {row[0] for row in world.sql("SELECT name FROM sqlite_schema")}
    assert world.migrator(declared).plan() == ("0002", [], [], False)


def test_a_revision_may_drop_an_index_by_itself(world: World) -> None:
    started(world, task({"w": str}, w="", indexes=[Index("w")]), w="old")
    write(world, "0001_drop", "op.drop_index('ix_tasks_w_id')\nop.execute('ALTER TABLE tasks DROP COLUMN w')")
    world.migrator(task()).apply(reviewed=True)
    assert world.is_current(task())


def test_a_revision_for_a_table_that_is_not_there_says_so(world: World) -> None:
    started(world)
    write(world, "0001_odd", "with op.batch_alter_table('pots') as batch:\n    batch.drop_column('w')")
    with pytest.raises(MigrationError, match=r"0001_odd failed: there is no table pots\. Nothing was changed"):
        world.migrator(task()).apply(reviewed=True)


def test_a_revision_must_not_leave_references_to_nothing(world: World) -> None:
    garden = made("Garden", {"name": str})
    planted = task({"garden": Annotated[str, Ref(garden)] | None}, garden=None)
    assert world.is_current(garden, planted)
    world.add("gardens", 7, name="North")
    world.add("tasks", 1, title="Weed", garden="7-0000")
    write(world, "0001_empty", "op.execute('DELETE FROM gardens')")
    content = world.content()
    with pytest.raises(MigrationError, match="1 rows of tasks refer to gardens that do not exist"):
        world.migrator(garden, planted).apply(reviewed=True)
    assert world.content() == content


def test_a_revision_must_lead_to_the_declaration(world: World) -> None:
    started(world)
    write(world, "0001_odd", "op.execute('ALTER TABLE tasks DROP COLUMN version')")
    content = world.content()
    with pytest.raises(MigrationError, match=r"column tasks\.version is added"):
        world.migrator(task()).apply(reviewed=True)
    assert world.content() == content


def test_a_table_is_renamed_with_its_rows(world: World) -> None:
    started(world)
    chore = made("Chore", {"title": str}, search=("title",))
    path = world.migrator(chore).make("chores", [read_rename("tasks=chores")])
    assert [finding.step for finding in lint(path)] == ["op.rename_table('tasks', 'chores')"]
    world.migrator(chore).apply(reviewed=True)
    assert world.sql("SELECT title FROM chores") == [("Water the ferns",)]
    assert world.sql("SELECT rowid FROM chores_fts WHERE chores_fts MATCH 'ferns'") == [(1,)]
    assert world.sql("SELECT name FROM sqlite_schema WHERE name LIKE '%tasks%'") == []
    assert world.is_current(chore)


@pytest.mark.parametrize("text", ["", "tasks", "=x", "tasks.=x", "tasks.kind=", ".a=b"])
def test_a_rename_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(MigrationError, match=r"write TABLE\.COLUMN=NEW"):
        read_rename(text)


def test_a_rename_that_does_not_fit_is_refused(world: World) -> None:
    started(world)
    with pytest.raises(MigrationError, match="The rename does not fit the database"):
        world.migrator(task()).make("x", [read_rename("tasks.colour=color")])
    assert not world.folder.exists()


def test_there_is_nothing_to_write_without_a_difference(world: World) -> None:
    started(world)
    with pytest.raises(MigrationError, match="there is nothing to write"):
        world.migrator(task()).make("x")
    with pytest.raises(MigrationError, match=r"nothing to write\. Run `ramet migrate apply` for what else"):
        world.migrator(task(indexes=[Index("-title")])).make("x")


def test_two_revisions_that_follow_the_same_one_are_refused(world: World) -> None:
    started(world)
    write(world, "0001_one", "pass")
    write(world, "0002_two", "pass")
    with pytest.raises(MigrationError, match=r"0001 and 0002 follow the same one\. Set `down_revision`"):
        world.migrator(task()).plan()


def test_a_revision_that_cannot_be_read_is_named(world: World) -> None:
    started(world)
    write(world, "0001_one", "this is no Python")
    with pytest.raises(MigrationError, match="a revision cannot be read: SyntaxError"):
        world.migrator(task()).plan()


def test_a_database_with_a_revision_that_is_gone_is_refused(world: World) -> None:
    started(world)
    path = write(world, "0001_one", "pass")
    world.migrator(task()).apply(reviewed=True)
    path.unlink()
    with pytest.raises(MigrationError, match="The database has the revision 0001"):
        world.migrator(task()).plan()


def test_the_linter_tells_expand_from_contract(tmp_path: Path) -> None:
    path = tmp_path / "0001_all.py"
    path.write_text(
        "def upgrade():\n"
        "    op.create_table('a', sa.Column('b', sa.Text(), nullable=False))\n"
        "    op.add_column('t', sa.Column('a', sa.Text(), nullable=True))\n"
        "    op.add_column('t', sa.Column('b', sa.Text(), server_default='x', nullable=False))\n"
        "    op.create_index('i', 't', ['a'])\n"
        "    op.drop_index('i')\n"
        "    op.alter_column('t', 'a', nullable=True)\n"
        "    op.execute('UPDATE t SET a = 1')\n"
    )
    assert lint(path) == []
    path.write_text(
        "def upgrade():\n"
        "    op.drop_table('t')\n"
        "    batch.drop_column('a')\n"
        "    batch.add_column(sa.Column('b', sa.Text(), nullable=False))\n"
        "    batch.alter_column('a', new_column_name='b')\n"
        "    batch.alter_column('a', type_=sa.Text())\n"
        "    batch.alter_column('a', nullable=False)\n"
        "    batch.create_index('i', ['a'], unique=True)\n"
        "    batch.create_foreign_key('f', 'o', ['a'], ['id'])\n"
        "    op.rename_table('a', 'b')\n"
    )
    assert [finding.line for finding in lint(path)] == list(range(2, 11))


def test_a_day_that_was_text_asks_for_a_conversion(world: World) -> None:
    started(world, task({"day": str | None}, day=None), day="1.2.2026")
    after = task({"day": date | None}, day=None)
    path = world.migrator(after).make("days")
    assert "Convert here, with op.execute: the values of tasks.day change from text to date" in path.read_text()
