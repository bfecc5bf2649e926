"""Serving and migrating: additions happen by themselves, the rest is refused, and nobody gets in between."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.process.commands import RAMET, environment, ramet, rows, write_app
from tests.process.harness import DEADLINE, Running, get, ramet_serve

COLUMNS = "SELECT name FROM pragma_table_info('tasks')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An application whose database has one task."""
    write_app(tmp_path)
    done = ramet(
        tmp_path, "load", "tasks", "-", "--format", "jsonl", given='{"title": "Water the ferns", "note": "n"}\n'
    )
    assert done.code == 0
    return tmp_path


def columns(folder: Path) -> set[str]:
    return {row[0] for row in rows(folder, COLUMNS)}


def served(folder: Path, *options: str) -> Running:
    """A server that has begun to serve."""
    with ramet_serve(folder, *options, app="app.py") as server:
        assert get(server.port(), "/health")[""] == "200"
    return server


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one", "two workers"])
def test_serving_makes_safe_additions_by_itself(folder: Path, options: tuple[str, ...]) -> None:
    write_app(folder, "# more", "colour: str = 'green'\n    size: float | None = None")
    server = served(folder, *options)
    assert server.text.count("Schema: column tasks.colour is added.") == 1
    assert rows(folder, "SELECT title, colour, size FROM tasks") == [("Water the ferns", "green", None)]
    assert "Schema" not in served(folder, *options).text
    assert not (folder / "migrations").exists()


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one", "two workers"])
def test_serving_refuses_what_could_lose_data_and_says_what_to_run(folder: Path, options: tuple[str, ...]) -> None:
    write_app(folder, "note: str | None = None", "remark: str | None = None")
    before = rows(folder, "SELECT * FROM tasks")
    with ramet_serve(folder, *options, app="app.py") as server:
        assert server.ends() != 0
    assert "column tasks.note is dropped: its values would be lost" in server.text
    assert "Nothing was changed. Run `ramet migrate make` (with --rename TABLE.OLD=NEW" in server.text
    assert "Traceback" not in server.text
    assert "Serving" not in server.text
    assert rows(folder, "SELECT * FROM tasks") == before
    assert "remark" not in columns(folder)


def test_a_rename_is_reviewed_then_applied_then_served(folder: Path) -> None:
    write_app(folder, "note: str | None = None", "remark: str | None = None")
    assert ramet(folder, "migrate", "plan").code == 1
    status = ramet(folder, "migrate", "status")
    assert (status.code, status.out.splitlines()[0]) == (1, "database revision: none")
    made = ramet(folder, "migrate", "make", "-m", "notes are remarks", "--rename", "tasks.note=remark")
    assert made.code == 0
    assert "Wrote migrations/0001_notes_are_remarks.py." in made.out
    assert "beside older code: older code still uses the old name" in made.out
    assert "0001_notes_are_remarks would be applied" in ramet(folder, "migrate", "plan").out
    with ramet_serve(folder, app="app.py") as server:
        assert server.ends() != 0
    assert "Revision 0001_notes_are_remarks is not applied yet" in server.text
    tried = ramet(folder, "migrate", "apply", "--try")
    assert (tried.code, "note" in columns(folder)) == (0, True)
    applied = ramet(folder, "migrate", "apply")
    assert (applied.code, applied.out) == (0, "revision 0001_notes_are_remarks is applied\n")
    assert rows(folder, "SELECT remark FROM tasks") == [("n",)]
    assert ramet(folder, "migrate", "apply").out == "Nothing to do: the database has the declared schema.\n"
    assert ramet(folder, "migrate", "status").out == ("database revision: 0001\nwaiting: none\nschema: as declared\n")
    assert "Schema" not in served(folder).text


@pytest.mark.parametrize(
    ("old", "new", "outlook", "done"),
    [
        ("# more", 'sort = "-stars"', "indexes are made as declared", "index ix_tasks_stars_desc_id_desc is made"),
        (
            "stars: int = 1\n    done: bool = False",
            "done: bool = False\n    stars: int = 1",
            "the new declaration is noted",
            "Nothing to do: the database has the declared schema.",
        ),
    ],
    ids=["indexes", "order of fields"],
)
def test_all_commands_say_the_same_where_no_table_differs(
    folder: Path, old: str, new: str, outlook: str, done: str
) -> None:
    write_app(folder, old, new)
    status = ramet(folder, "migrate", "status")
    assert (status.code, status.out.splitlines()[-1]) == (1, f"schema: {outlook} by `ramet migrate apply`")
    said = f"There is nothing to write: no table differs. Run `ramet migrate apply`: {outlook}.\n"
    assert ramet(folder, "migrate", "make") == (0, said, "")
    assert ramet(folder, "migrate", "plan") == (0, f"{outlook}\n", "")
    assert f"reachable; at the start {outlook} (see" in ramet(folder, "check").out
    assert not (folder / "migrations").exists()
    assert done in ramet(folder, "migrate", "apply").out.splitlines()
    assert ramet(folder, "migrate", "status").code == 0


def test_a_revision_that_waits_is_no_difference_of_the_schema(folder: Path) -> None:
    (folder / "migrations").mkdir()
    revision = 'revision = "0001"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n'
    (folder / "migrations" / "0001_nothing.py").write_text(revision)
    status = ramet(folder, "migrate", "status")
    assert (status.code, status.out.splitlines()[1:]) == (
        1,
        ["waiting: 0001_nothing", "schema: what waits is applied by `ramet migrate apply`"],
    )


def test_a_migration_that_is_killed_changes_nothing(folder: Path) -> None:
    write_app(folder, "note: str | None = None\n", "")
    assert ramet(folder, "migrate", "make").code == 0
    [revision] = (folder / "migrations").glob("*.py")
    text = revision.read_text()
    revision.write_text(text + "    op.execute('DELETE FROM tasks')\n    import os\n    os.kill(os.getpid(), 9)\n")
    killed = subprocess.run([RAMET, "migrate", "apply"], cwd=folder, env=environment(), timeout=DEADLINE)
    assert killed.returncode == -9
    assert rows(folder, "SELECT title, note FROM tasks") == [("Water the ferns", "n")]
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]
    revision.write_text(text)
    assert ramet(folder, "migrate", "apply").code == 0
    assert "note" not in columns(folder)
    assert rows(folder, "SELECT title FROM tasks") == [("Water the ferns",)]


def test_of_two_runners_one_migrates_and_the_other_finds_it_done(folder: Path) -> None:
    write_app(folder, "note: str | None = None\n", "")
    assert ramet(folder, "migrate", "make").code == 0
    [revision] = (folder / "migrations").glob("*.py")
    revision.write_text(revision.read_text() + '    op.execute("UPDATE tasks SET stars = stars + 1")\n')
    command = [RAMET, "migrate", "apply"]
    running = [
        subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=DEADLINE)[0] for process in running)
    assert [process.returncode for process in running] == [0, 0, 0]
    nothing = "Nothing to do: the database has the declared schema.\n"
    assert said == [nothing, nothing, "revision 0001_change_the_schema is applied\n"]
    assert rows(folder, "SELECT stars FROM tasks") == [(2,)]


def test_a_migration_waits_for_a_server_and_the_server_goes_on(folder: Path) -> None:
    with ramet_serve(folder, app="app.py") as server:
        port = server.port()
        write_app(folder, "# more", "colour: str = 'green'")
        assert ramet(folder, "migrate", "apply").out == "column tasks.colour is added\n"
        assert get(port, "/health/ready")[""] == "200"
