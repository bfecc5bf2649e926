"""Records in and out of files: what is refused is told, what was interrupted goes on, what was written comes back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import apsw
import msgspec
import pytest

from tests.process.commands import RAMET, environment, ramet, rows, write_app
from tests.process.harness import DEADLINE

COUNT = 700


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_app(tmp_path)
    return tmp_path


def lines(path: Path, *records: object) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))


def test_csv_is_read_by_the_types_of_the_fields(folder: Path) -> None:
    (folder / "in.csv").write_text(
        "\ufefftitle,stars,done,tags,extra,note\n"
        'First,5,true,"[""a"", ""b""]","{""x"": [1]}",a note\n'
        '"Two\nlines",,,,,\n'
        "Third,-1,false,[],null,\n"
    )
    done = ramet(folder, "load", "tasks", "in.csv")
    assert (done.code, done.err) == (0, "tasks: 3 stored, 0 refused.\n")
    assert rows(folder, "SELECT title, stars, done, tags, extra, note, owner FROM tasks ORDER BY id") == [
        ("First", 5, 1, '["a","b"]', '{"x":[1]}', "a note", None),
        ("Two\nlines", 1, 0, "[]", None, None, None),
        ("Third", -1, 0, "[]", None, None, None),
    ]


def test_every_refused_row_is_told_and_the_others_are_stored(folder: Path) -> None:
    (folder / "in.csv").write_text("title,stars\nGood,1\n,2\nBad,many\n\nAlso good,3\nGood,4\nWide,1,x\n")
    done = ramet(folder, "load", "Task", "in.csv")
    assert done.code == 1
    assert done.err.splitlines() == [
        "line 3: title: Expected `str` of length >= 1.",
        "line 4: stars: Expected `int`, got `str`.",
        "line 7: title: Another record already has this value.",
        "line 8: The row has more cells than the header.",
        "tasks: 2 stored, 4 refused.",
    ]
    assert rows(folder, "SELECT title FROM tasks ORDER BY id") == [("Good",), ("Also good",)]


def test_a_hook_that_fails_refuses_its_record_alone(folder: Path) -> None:
    write_app(folder, "        if self.title ==", "        1 // (self.stars - 7)\n        if self.title ==")
    lines(folder / "in.jsonl", {"title": "A"}, {"title": ""}, {"title": "B", "stars": 7}, {"title": "C"})
    done = ramet(folder, "load", "tasks", "in.jsonl")
    assert done.code == 1
    assert done.err.splitlines() == [
        "line 2: title: Expected `str` of length >= 1.",
        "line 3: the hook failed: ZeroDivisionError: integer division or modulo by zero",
        "tasks: 2 stored, 2 refused.",
    ]
    assert rows(folder, "SELECT title FROM tasks ORDER BY id") == [("A",), ("C",)]
    again = ramet(folder, "load", "tasks", "in.jsonl")
    assert again.err.endswith("tasks: 2 stored, 2 refused.\n")


def test_an_error_of_the_database_stops_the_load(folder: Path) -> None:
    lines(folder / "in.jsonl", {"title": "A"}, {"title": "B"})
    ramet(folder, "user", "list")
    change = apsw.Connection(str(folder / "ramet.db"))
    change.execute("CREATE TRIGGER broken BEFORE INSERT ON tasks BEGIN SELECT 1 FROM nowhere; END")
    change.close()
    done = ramet(folder, "load", "tasks", "in.jsonl")
    assert done.code == 1
    assert "nowhere" in done.err
    assert "refused" not in done.err


def test_rows_before_and_after_a_damaged_one_are_stored(folder: Path) -> None:
    (folder / "in.csv").write_bytes(b'title,stars\nGood,1\nShort\nB\xfcd,2\nAlso good,3\n"Open,4\nSwallowed,5\n')
    done = ramet(folder, "load", "tasks", "in.csv")
    assert done.code == 1
    assert done.err.splitlines() == [
        "line 3: The row has fewer cells than the header.",
        "line 4: Here the file is not UTF-8.",
        "line 6: A quote is opened here, or in a line below, that the file does not close.",
        "tasks: 2 stored, 3 refused.",
    ]
    assert rows(folder, "SELECT title FROM tasks ORDER BY id") == [("Good",), ("Also good",)]


def test_rows_before_a_cell_without_bounds_are_stored(folder: Path) -> None:
    (folder / "in.csv").write_text('title\nGood\n"Open\n' + ("x" * 99 + "\n") * 20_000)
    done = ramet(folder, "load", "tasks", "in.csv")
    assert done.code == 1
    assert "Line 3: field larger than field limit" in done.err
    assert rows(folder, "SELECT title FROM tasks") == [("Good",)]


def test_json_lines_are_checked_as_requests_are(folder: Path) -> None:
    (folder / "in.jsonl").write_text(
        '{"title": "Good"}\n'
        "\n"
        '{"title": "A", "colour": 1}\n'
        '{"title": "B", "title": "C"}\n'
        "[1]\n"
        "{\n"
        '{"title": "' + "x" * 2_000_000 + '"}\n'
        '{"title": "Last", "tags": ["x"]}'
    )
    done = ramet(folder, "load", "tasks", "in.jsonl")
    assert done.code == 1
    assert [line.partition(":")[0] for line in done.err.splitlines()] == [
        *(f"line {number}" for number in (3, 4, 5, 6, 7)),
        "tasks",
    ]
    assert "line 7: The line has more than 1048576 bytes.\n" in done.err
    assert rows(folder, "SELECT title FROM tasks ORDER BY id") == [("Good",), ("Last",)]


def test_records_become_those_of_an_owner(folder: Path) -> None:
    ramet(folder, "user", "create", "--email", "ada@example.com")
    given = '{"title": "Hers"}\n'
    assert ramet(folder, "load", "tasks", "-", "--format", "jsonl", "--owner", "Ada@example.com", given=given).code == 0
    assert rows(folder, "SELECT count(*) FROM tasks JOIN users ON users.id = tasks.owner") == [(1,)]
    nobody = ramet(folder, "load", "tasks", "-", "--format", "jsonl", "--owner", "bob@example.com", given=given)
    assert nobody.code == 1
    assert nobody.err.startswith("There is no user bob@example.com.")


def test_a_load_that_was_killed_goes_on_without_duplicates(folder: Path) -> None:
    records: list[object] = [{"title": f"t{number}"} for number in range(COUNT)]
    records[10] = {"title": ""}
    lines(folder / "in.jsonl", *records)
    command = [RAMET, "load", "tasks", "in.jsonl"]
    killed = subprocess.run(
        command, cwd=folder, env=environment(KILLED_AT="t600"), capture_output=True, timeout=DEADLINE
    )
    assert killed.returncode == -9
    [(before,)] = rows(folder, "SELECT count(*) FROM tasks")
    assert 0 < before < COUNT
    done = ramet(folder, "load", "tasks", "in.jsonl")
    assert done.code == 1
    assert "This file was loaded before" in done.err
    assert f"tasks: {COUNT - 1} stored, 1 refused." in done.err
    assert rows(folder, "SELECT count(*), count(DISTINCT title) FROM tasks") == [(COUNT - 1, COUNT - 1)]
    again = ramet(folder, "load", "tasks", "in.jsonl")
    assert "line " not in again.err.replace("to line", "")
    assert rows(folder, "SELECT count(*) FROM tasks") == [(COUNT - 1,)]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_dumped_can_be_loaded(folder: Path, form: str) -> None:
    records = [{"title": f'"{number}", ü\n', "tags": ["a,b"], "extra": {"n": number}} for number in range(1200)]
    lines(folder / "in.jsonl", *records, {"title": "last", "note": "x", "done": True})
    ramet(folder, "user", "create", "--email", "ada@example.com")
    ramet(folder, "load", "tasks", "in.jsonl", "--owner", "ada@example.com")
    select = "SELECT id, owner, created_at, updated_at, version, title, stars, done, tags, extra, note FROM tasks"
    before = rows(folder, select + " ORDER BY id")
    assert len(before) == 1201
    assert ramet(folder, "dump", "tasks", f"out.{form}").err == f"tasks: 1201 written to out.{form}.\n"
    printed = ramet(folder, "dump", "tasks", "--format", form).out
    assert printed.encode() == (folder / f"out.{form}").read_bytes()
    for file in folder.glob("ramet.db*"):
        file.unlink()
    loaded = ramet(folder, "load", "tasks", f"out.{form}")
    assert (loaded.code, loaded.err) == (0, "tasks: 1201 stored, 0 refused.\n")
    assert rows(folder, select + " ORDER BY id") == before
    assert not (folder / f"out.{form}.part").exists()


def test_hidden_fields_are_not_dumped(folder: Path) -> None:
    ramet(folder, "user", "create", "--email", "ada@example.com")
    out = ramet(folder, "dump", "users").out
    assert "ada@example.com" in out
    assert "argon2" not in out
    assert "password" not in out


def test_a_file_that_is_no_csv_is_refused(folder: Path) -> None:
    (folder / "in.csv").write_bytes(b"title\nGood\nB\xfcd\n")
    done = ramet(folder, "load", "tasks", "in.csv")
    assert done.code == 1
    assert "the file is not UTF-8" in done.err
    (folder / "in.csv").write_text("title,title\nA,B\n")
    assert ramet(folder, "load", "tasks", "in.csv").err == "The first line of a CSV file must name each column once.\n"
