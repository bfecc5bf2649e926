"""A move has the file to itself: it begins beside no server, and no server begins beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ramet.data.sqlite.leadership import attend, shut_out
from ramet.errors import Unready
from tests import databases
from tests.process.harness import RAMET, ramet_serve

APP = """\
from ramet import App, Resource, everyone, Access


class Note(Resource):
    text: str = ""
    access = Access(read=everyone, create=everyone)


app = App(resources=[Note])
"""


def ramet(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, RAMET, *words, "--app", "app.py"]
    return subprocess.run(line, cwd=folder, env=os.environ, capture_output=True, text=True, check=False, timeout=60)


def move(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    return ramet(folder, "move", "--from", f"sqlite:///{folder}/app.db", "--to", target)


def test_a_move_begins_beside_no_server_not_even_one_that_has_just_started_and_has_no_hooks(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    databases.server().sql(f"CREATE DATABASE m{databases.named(tmp_path)}")
    target = databases.server().url(f"m{databases.named(tmp_path)}")
    assert ramet(tmp_path, "migrate", "apply", "--database", target).returncode == 0
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
