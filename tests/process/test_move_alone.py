"""A move has the file to itself: it begins beside no server, and no server begins beside it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from ramet.data.sqlite.leadership import attend, shut_out
from ramet.errors import Unready
from tests import databases
from tests.process.harness import RAMET, ramet_serve

APP = """\
from typing import Annotated

from ramet import Access, App, Length, Resource, Unique, everyone


class Note(Resource):
    text: Annotated[str, Length(max=5_000), Unique] = ""
    access = Access(read=everyone, create=everyone)


app = App(resources=[Note])
"""


def ramet(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, RAMET, *words, "--app", "app.py"]
    return subprocess.run(line, cwd=folder, env=os.environ, capture_output=True, text=True, check=False, timeout=60)


def move(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    return ramet(folder, "move", "--from", f"sqlite:///{folder}/app.db", "--to", target)


@pytest.fixture
def target(tmp_path: Path) -> str:
    """The address of a database that has the schema."""
    (tmp_path / "app.py").write_text(APP)
    name = f"m{databases.named(tmp_path)}"
    databases.server().sql(f"CREATE DATABASE {name}")
    url = databases.server().url(name)
    assert ramet(tmp_path, "migrate", "apply", "--database", url).returncode == 0
    return url


def test_a_move_begins_beside_no_server_not_even_one_that_has_just_started_and_has_no_hooks(
    target: str, tmp_path: Path
) -> None:
    given = {"database_url": f"sqlite:///{tmp_path}/app.db"}
    with ramet_serve(tmp_path, app="app.py", **given) as server:
        server.port()
        refused = move(tmp_path, target)
        assert refused.returncode != 0
        assert "A server is running on app.db. Stop it" in " ".join(refused.stderr.split())
    done = move(tmp_path, target)
    assert done.returncode == 0, done.stderr


def test_no_server_begins_while_the_file_is_moved(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    given = {"database_url": f"sqlite:///{tmp_path}/app.db"}
    with ramet_serve(tmp_path, app="app.py", **given) as server:
        server.port()
    alone = shut_out(tmp_path / "app.db")
    try:
        with pytest.raises(Unready, match=r"has app\.db to itself"):
            attend(tmp_path / "app.db")
        with ramet_serve(tmp_path, app="app.py", **given) as server:
            server.says("has app.db to itself")
    finally:
        os.close(alone)
    with ramet_serve(tmp_path, app="app.py", **given) as server:
        server.port()


def test_a_source_without_a_change_is_moved_whatever_time_the_database_gives_statements(
    target: str, tmp_path: Path
) -> None:
    assert ramet(tmp_path, "migrate", "apply", "--database", f"sqlite:///{tmp_path}/app.db").returncode == 0
    name = target.rpartition("/")[2]
    databases.server().sql(f"ALTER DATABASE {name} SET statement_timeout = '5ms'")
    done = move(tmp_path, target)
    assert done.returncode == 0, done.stderr


def test_what_is_too_long_to_be_indexed_there_is_told_with_its_table(target: str, tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text(json.dumps({"text": secrets.token_urlsafe(3_700)}) + "\n")
    loaded = ramet(tmp_path, "load", "notes", "notes.jsonl", "--database", f"sqlite:///{tmp_path}/app.db")
    assert loaded.returncode == 0, loaded.stderr
    refused = move(tmp_path, target)
    assert refused.returncode == 1
    told = " ".join(refused.stderr.split())
    assert "notes: a text is too long to be indexed there" in told
    assert "--again" in told
    assert "Traceback" not in told


def test_a_role_that_does_not_own_the_tables_is_told_so(target: str, tmp_path: Path) -> None:
    assert ramet(tmp_path, "migrate", "apply", "--database", f"sqlite:///{tmp_path}/app.db").returncode == 0
    server, name = databases.server(), target.rpartition("/")[2]
    server.sql(f"CREATE ROLE r{name} LOGIN; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO r{name}", name)
    refused = move(tmp_path, target.replace("ramet@", f"r{name}@"))
    assert refused.returncode == 1
    assert "owner of the tables" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
