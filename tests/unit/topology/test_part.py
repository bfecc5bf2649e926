"""A part that is not ready in time is given up, but for one that says it is coming."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ramet.errors import SettingsError
from ramet.topology.instances import part
from ramet.topology.instances.folder import Folder
from ramet.topology.instances.postgres import Database
from ramet.topology.instances.programs import Programs


class Slow(part.Program):
    """Ready when it was looked at so often; before that it says it is coming, if `says`, but for the last look.

    Between two looks passes a pause, on the clock of this test.
    """

    def __init__(self, folder: Path, looks: int, *, says: bool) -> None:
        super().__init__("slow", 0, folder / "log", self._hear)
        self.told: list[str] = []
        self.looks = looks
        self.says = says
        self.now = 0.0

    def _hear(self, text: str) -> None:
        self.told.append(text)

    def command(self) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(600)"]

    async def alive(self) -> bool:
        self.looks -= 1
        self.now += part.PAUSE
        return self.looks < 0

    def coming(self) -> bool:
        return self.says and self.looks > 0


@pytest.fixture
async def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Slow]]:
    monkeypatch.setattr(part, "READY", 0.05)
    monkeypatch.setattr(part, "PAUSE", 0.01)
    made: list[Slow] = []
    monkeypatch.setattr(part, "time", SimpleNamespace(monotonic=lambda: made[-1].now))

    def make(looks: int, *, says: bool) -> Slow:
        made.append(Slow(tmp_path, looks, says=says))
        return made[-1]

    yield make
    for one in made:
        one.kill()
        await one.stopped()


async def test_one_that_says_it_is_coming_is_waited_for(slow: Callable[..., Slow]) -> None:
    found = slow(20, says=True)
    await found.start()
    assert (found.state, found.looks) == ("up", -1)
    assert [text.split(";")[0] for text in found.told] == ["slow is not ready yet, and at work to be"]


async def test_one_that_says_so_for_ever_is_given_up(
    slow: Callable[..., Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, "COMING", 0.2)
    with pytest.raises(SettingsError, match="slow is not ready after"):
        await slow(1_000, says=True).start()


async def test_one_that_says_nothing_is_given_up(slow: Callable[..., Slow]) -> None:
    with pytest.raises(SettingsError, match="slow is not ready after"):
        await slow(20, says=False).start()


async def test_a_database_server_says_so_while_it_makes_up_for_a_crash(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "parts", None)
    try:
        found = Database("db", folder, Programs(["postgres", "pg_isready"]), lambda text: None, 10)
        found.data.mkdir()
        found.child = await part.Child.start([sys.executable, "-c", "import time; time.sleep(600)"], found.log)
        told = {}
        for pid in (found.child.pid, 1):
            for status in ("starting", "stopping", "ready   ", None):
                lines = [str(pid), "/data", "0", "5432", "", "127.0.0.1", "0 0", *([status] if status else [])]
                (found.data / "postmaster.pid").write_text("\n".join(lines) + "\n")
                told[pid == 1, status] = found.coming()
        assert [which for which, coming in told.items() if coming] == [(False, "starting")]
        (found.data / "postmaster.pid").unlink()
        assert not found.coming()
        await found.child.stop(signal.SIGKILL, 0)
    finally:
        folder.close()
