"""`ramet up` for tests: a whole topology in a folder of its own, with nothing left of it afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from ramet.topology.instances.control import Question, ask
from ramet.topology.instances.part import Row
from tests.postgres import free_port
from tests.process.harness import RAMET, Running, children

START_SECONDS = 180.0
STOP_SECONDS = 400.0
"""More than a database server is given."""


class Topology:
    """One topology. `folder` is the project's, `options` are those of `ramet up`, `settings` its environment."""

    def __init__(self, app: str, *options: str, **settings: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ramet-up-"))
        self.folder.chmod(0o755)  # servers that refuse to be root's look into it too
        self.port = free_port()
        self._command = [RAMET, "up", app, "--port", str(self.port), *options]
        given = {"limits": False, "access_log": False, "password_memory": 8, **settings}
        self._environment = {f"RAMET_{name.upper()}": str(value) for name, value in given.items()}
        self.running: Running | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def kept(self) -> Path:
        """The folder that the topology keeps its things in."""
        return self.folder / ".ramet"

    def start(self) -> None:
        """Starts, and waits until everything is ready."""
        self.running = Running(self._command, self.folder, variables=self._environment)
        self.until(lambda: "Serving " in self.said or self.running is None or self.running.process.poll() is not None)
        assert f"Serving {self.url} " in self.said, self.said

    @property
    def said(self) -> str:
        return self.running.text if self.running is not None else ""

    def rows(self) -> dict[str, Row]:
        """How the parts are, by name."""
        (line,) = ask(self.kept, Question("status"))
        return {row.part: row for row in line.rows}

    def all_well(self) -> bool:
        """Whether each part does its work."""
        return {row.state for row in self.rows().values()} <= {"up", "ready"}

    def pids(self) -> set[int]:
        """All processes that belong to it, those that its parts have started as well."""
        assert self.running is not None
        found: set[int] = set()
        left = [self.running.process.pid]
        while left:
            found.add(pid := left.pop())
            left += children(pid)
        return found

    def roll(self) -> list[str]:
        """Replaces the instances; what was told of it."""
        lines = list(ask(self.kept, Question("roll")))
        assert not lines[-1].failed, lines
        return [line.text for line in lines]

    def stop(self) -> int:
        """Stops it as a service manager does; its exit code."""
        assert self.running is not None
        self.running.signal(signal.SIGTERM)
        code = self.running.process.wait(STOP_SECONDS)
        self.running.close()
        return code

    def remove(self) -> None:
        """Stops it and removes all it has."""
        if self.running is not None and self.running.process.poll() is None:
            pids = self.pids()
            self.running.signal(signal.SIGTERM)
            try:
                self.running.process.wait(STOP_SECONDS)
            finally:
                for pid in filter(alive, pids):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.running.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until it holds."""
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)  # waits: for processes of the topology, at most START_SECONDS

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request on a connection of its own."""
        return httpx.request(method, self.url + path, timeout=60, **more)


def alive(pid: int) -> bool:
    """Whether a process runs, and has not merely left its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def topology(app: str, *options: str, **settings: Any) -> Iterator[Topology]:
    """A running one."""
    found = Topology(app, *options, **settings)
    try:
        found.start()
        yield found
    finally:
        found.remove()
