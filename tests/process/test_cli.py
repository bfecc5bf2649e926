"""The commands that make, check and describe an application, and its users: real processes in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.process.commands import APP, environment, ramet, rows, write_app
from tests.process.harness import DEADLINE, ramet_serve


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_app(tmp_path)
    return tmp_path


def test_a_new_application_runs_and_its_test_passes(tmp_path: Path) -> None:
    done = ramet(tmp_path, "new", "my-desk")
    assert (done.code, done.out) == (0, "")
    assert "ramet serve --demo" in done.err
    made = tmp_path / "my-desk"
    assert {path.name for path in made.iterdir()} == {"app.py", "test_app.py", "README.md", ".gitignore"}
    assert (made / "README.md").read_text().startswith("# My Desk\n")
    assert ramet(made, "check").code == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    tested = subprocess.run(command, cwd=made, env=environment(), capture_output=True, text=True, timeout=DEADLINE)
    assert "2 passed" in tested.stdout, tested.stdout
    with ramet_serve(made, "--demo", app="app.py") as server:
        server.port()
        assert "ada@example.com" in server.text
    assert rows(made, "SELECT count(*) FROM tasks") == [(3,)]


def test_a_folder_with_something_in_it_is_left_alone(folder: Path) -> None:
    done = ramet(folder.parent, "new", folder.name)
    assert done.code == 1
    assert done.err == f"{folder.name} exists and is not empty. Choose another name.\n"
    assert (folder / "app.py").read_text() == APP


def test_checking_makes_no_database(folder: Path) -> None:
    done = ramet(folder, "check")
    assert done.code == 0
    assert "declaration: 4 resources" in done.out
    assert "database: new, it is made at the first start\n" in done.out
    assert not (folder / "ramet.db").exists()


def test_checking_tells_every_part_that_is_wrong(folder: Path) -> None:
    write_app(folder, "stars: int = 1", "stars: object = 1")
    done = ramet(folder, "check", RAMET_PORT="high")
    assert done.code == 1
    assert "settings: RAMET_PORT: 'high' is not a whole number." in done.out
    assert "declaration: " in done.out
    assert "stars" in done.out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RAMET_HOST", "not-a-host-zz"),
        ("RAMET_SECRET", "short"),
        ("RAMET_LOG_LEVEL", "loud"),
        ("RAMET_LOG_FORMAT", "xml"),
        ("RAMET_TRUSTED_PROXIES", "foo"),
        ("RAMET_CORS_ORIGINS", "app.example"),
        ("RAMET_LIMIT_CALLER", "abc"),
        ("RAMET_LIMIT_ACCOUNT", "0/60"),
        ("RAMET_CHANGES_RETENTION", "60"),
    ],
)
def test_checking_tells_the_settings_that_serving_refuses(folder: Path, name: str, text: str) -> None:
    done = ramet(folder, "check", **{name: text})
    assert done.code == 1
    assert f"settings: {name}: " in done.out
    assert "can be used" not in done.out
    served = ramet(folder, "serve", "--port", "0", **{name: text})
    assert served.code == 1
    assert f"{name}: " in served.err


def test_checking_tells_all_settings_that_are_wrong(folder: Path) -> None:
    done = ramet(folder, "check", RAMET_SECRET="short", RAMET_LOG_LEVEL="loud", RAMET_LIMIT_CALLER="abc")
    for name in ("SECRET", "LOG_LEVEL", "LIMIT_CALLER"):
        assert f"RAMET_{name}: " in done.out
    assert not (folder / "ramet.db").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("serve", "nothing.py"), "nothing.py: there is no such file."),
        (("routes", "--app", "nothing.py"), "nothing.py: there is no such file."),
        (("check", "--database", "mysql://x"), "expected sqlite:///FILE"),
        (("serve", "--workers", "2", "--reload"), "--reload serves with one process"),
        (("dump", "Tsk"), "There is no resource 'Tsk'. Did you mean 'Task'?"),
        (("load", "tasks", "none.csv"), "none.csv: No such file or directory."),
        (("load", "tasks", "app.py"), "app.py: use .csv or .jsonl, or say --format csv or --format jsonl."),
        (("user", "disable", "nobody@example.com"), "There is no user nobody@example.com."),
        (("user", "create", "--email", "ada"), "email"),
        (("migrate", "make", "--rename", "x"), "write TABLE.COLUMN=NEW"),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = ramet(folder, *arguments)
    assert done.code == 1
    assert sentence in done.err + done.out


@pytest.mark.parametrize("arguments", [("serv",), ("serve", "--port", "x"), ("load", "tasks"), ("migrate", "aply")])
def test_wrong_usage_has_an_exit_code_of_its_own(folder: Path, arguments: tuple[str, ...]) -> None:
    done = ramet(folder, *arguments)
    assert done.code == 2
    assert "ramet" in done.err
    assert not (folder / "ramet.db").exists()


def test_a_fault_in_the_application_is_shown_where_it_is(folder: Path) -> None:
    (folder / "app.py").write_text("def broken():\n    return 1 / 0\n\n\nbroken()\n")
    shown = ramet(folder, "routes")
    assert shown.code == 1
    assert 'app.py", line 2, in broken' in shown.err
    assert shown.err.endswith("ZeroDivisionError: division by zero\n")
    assert "ramet/cli" not in shown.err


def test_help_names_every_command(folder: Path) -> None:
    done = ramet(folder, "--help")
    assert done.code == 0
    for name in ("new", "serve", "check", "migrate", "user", "load", "dump", "routes", "openapi"):
        assert f" {name} " in done.out


def test_routes_and_description_are_printed(folder: Path) -> None:
    lines = [line.split() for line in ramet(folder, "routes").out.splitlines()]
    assert ["GET", "/api/v1/tasks/{id}", "tasks.get"] in lines
    document = msgspec.json.decode(ramet(folder, "openapi").out)
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/tasks" in document["paths"]
    assert not (folder / "ramet.db").exists()


def test_users_are_made_shown_and_changed(folder: Path) -> None:
    made = ramet(folder, "user", "create", "--email", "Ada@Example.com", "--role", "admin", "--name", "Ada")
    assert made.code == 0
    password = made.out.strip()
    assert len(password) == 20
    assert password not in made.err
    given = ramet(
        folder, "user", "create", "--email", "bob@example.com", "--password-stdin", given="blue-violet-tree\n"
    )
    assert (given.code, given.out) == (0, "")
    again = ramet(folder, "user", "create", "--email", "ada@example.com")
    assert (again.code, again.out) == (1, "")
    weak = ramet(folder, "user", "create", "--email", "eve@example.com", "--password-stdin", given="password\n")
    assert weak.code == 1
    assert "password" in weak.err
    assert ramet(folder, "user", "roles", "bob@example.com", "editor", "agent").code == 0
    assert ramet(folder, "user", "disable", "bob@example.com").code == 0
    listed = [line.split() for line in ramet(folder, "user", "list").out.splitlines()]
    assert listed[1:] == [
        ["ada@example.com", "Ada", "admin"],
        ["bob@example.com", "agent,", "editor", "disabled"],
    ]
    assert ramet(folder, "user", "enable", "BOB@example.com").code == 0
    assert rows(folder, "SELECT disabled FROM users ORDER BY email") == [(0,), (0,)]


@pytest.mark.parametrize("role", ["BAD ROLE", "", "x" * 500, "-x", "admin\n"])
def test_roles_that_cannot_be_given_at_first_cannot_be_given_later(folder: Path, role: str) -> None:
    ramet(folder, "user", "create", "--email", "ada@example.com", "--role", "admin")
    made = ramet(folder, "user", "create", "--email", "bob@example.com", "--role", role)
    changed = ramet(folder, "user", "roles", "ada@example.com", "--", "editor", role)
    assert (made.code, changed.code) == (1, 1)
    assert "/roles: " in changed.err
    assert changed.err == made.err
    assert rows(folder, "SELECT email, roles FROM users") == [("ada@example.com", '["admin"]')]


def test_more_roles_than_a_user_may_have_are_refused(folder: Path) -> None:
    ramet(folder, "user", "create", "--email", "ada@example.com")
    assert ramet(folder, "user", "roles", "ada@example.com", *(f"r{number}" for number in range(21))).code == 1
    assert ramet(folder, "user", "roles", "ada@example.com", *(f"r{number}" for number in range(20))).code == 0


def test_a_damaged_page_is_told_with_what_to_do(folder: Path) -> None:
    assert ramet(folder, "user", "list").code == 0
    file = folder / "ramet.db"
    whole = file.read_bytes()
    for start in (4096, 2 * 4096, 3 * 4096):
        file.write_bytes(whole[:start] + b"\xff" * 4096 + whole[start + 4096 :])
        done = ramet(folder, "user", "list")
        assert done.code == 1
        assert done.err.startswith("RAMET_DATABASE_URL: ramet.db cannot be used: database disk image is malformed. ")
        assert "Restore it from a backup, or see what `sqlite3 ramet.db .recover` can save of it.\n" in done.err


def test_serving_does_not_hold_what_only_migrating_needs() -> None:
    code = "import sys, ramet.cli.serving; sys.exit('alembic' in sys.modules or 'mako' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=DEADLINE).returncode == 0
