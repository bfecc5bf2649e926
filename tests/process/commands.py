"""`ramet` as a person runs it, in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from tests.process.harness import DEADLINE

RAMET = str(Path(sys.executable).with_name("ramet"))
APP = """
from __future__ import annotations

import os
import signal
from typing import Annotated

from ramet import App, Context, Json, Length, Resource, Unique, before, owner_only


class Task(Resource):
    title: Annotated[str, Length(1, 50), Unique]
    stars: int = 1
    done: bool = False
    tags: list[str] = []
    extra: Json = None
    note: str | None = None
    # more
    access = owner_only()
    search = ("title",)

    @before("create")
    async def stop(self, ctx: Context) -> None:
        if self.title == os.environ.get("KILLED_AT"):
            os.kill(os.getpid(), signal.SIGKILL)


app = App(resources=[Task])
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**variables: str) -> dict[str, str]:
    """Without what the caller's shell says about Ramet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAMET_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", "NO_COLOR": "1", **variables}


def ramet(folder: Path, *arguments: str, given: str = "", **variables: str) -> Done:
    """One command from its start to its end."""
    done = subprocess.run(
        [RAMET, *arguments],
        cwd=folder,
        env=environment(RAMET_PASSWORD_MEMORY="8", **variables),
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def write_app(folder: Path, old: str = "", new: str = "") -> None:
    """The application, with one thing changed."""
    assert old in APP
    (folder / "app.py").write_text(APP.replace(old, new, 1) if old else APP)


def rows(folder: Path, sql: str) -> list[Any]:
    """What a query finds in the application's database."""
    connection = apsw.Connection(str(folder / "ramet.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
