"""A place for an instance, when it is replaced and something else happens at the same moment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ramet.errors import SettingsError
from ramet.settings import Settings
from ramet.topology.instances.child import Child
from ramet.topology.instances.slot import Slot
from tests.postgres import free_port
from tests.process.copies import until

SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.005)
os.write(int(sys.argv[2]), b'{"status":"ready"}' + bytes([10]))
time.sleep(600)
"""
"""Ready once a file is there. SIGINT ends it: Python's own handler loses one that comes just before it sleeps."""


class Place:
    """A slot whose instances are as `SCRIPT`: the first is ready at once, others when they are let."""

    def __init__(self, folder: Path, lifeline: int) -> None:
        self._folder = folder
        self.told: list[str] = []
        self.begun: list[Child] = []
        self.slot = Slot(1, free_port(), folder / "log", self.told.append, "app.py", Settings(), lifeline)
        self.let(1)

    def let(self, number: int) -> None:
        (self._folder / f"go-{number}").touch()

    def command(self, given: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", SCRIPT, str(self._folder / f"go-{len(self.begun) + 1}"), given[-2]]


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    lifeline, held = os.pipe()
    found = Place(tmp_path, lifeline)
    start = Child.start

    async def begin(command: Sequence[str], log: Path, **given: Any) -> Child:
        found.begun.append(child := await start(found.command(command), log, **given))
        return child

    monkeypatch.setattr(Child, "start", begin)
    try:
        await found.slot.start()
        yield found
    finally:
        found.slot.kill()
        await found.slot.stopped()
        os.close(lifeline)
        os.close(held)


async def test_a_successor_that_is_ready_takes_over(place: Place) -> None:
    replacing = asyncio.create_task(place.slot.replace())
    await until(lambda: len(place.begun) == 2)
    assert (place.slot.state, place.begun[0].code) == ("replacing", None)
    place.let(2)
    await replacing
    assert [child.code for child in place.begun] == [-signal.SIGTERM, None]
    assert (place.slot.state, place.slot.row().pid) == ("up", place.begun[1].pid)
    assert place.told == []


async def test_one_that_is_told_to_stop_as_its_successor_becomes_ready_starts_no_other(place: Place) -> None:
    slot, begin = place.slot, place.slot._begin

    async def begin_and_stop() -> Any:
        occupant = await begin()
        slot.tell_to_stop()
        return occupant

    slot._begin = begin_and_stop  # type: ignore[method-assign]  # else the event loop chooses what comes between
    place.let(2)
    with pytest.raises(SettingsError, match="instance 1 is stopping, and is not replaced"):
        await slot.replace()
    await slot.stopped()
    assert [child.code is None for child in place.begun] == [False, False]
    assert place.told == []


async def test_one_that_dies_before_its_successor_is_ready_is_replaced(place: Place) -> None:
    replacing = asyncio.create_task(place.slot.replace())
    await until(lambda: len(place.begun) == 2)
    place.begun[0].signal(signal.SIGKILL)
    await until(lambda: len(place.begun) == 3)
    place.let(2)
    await replacing
    await until(lambda: place.begun[2].code is not None)
    assert (place.slot.state, place.slot.row().pid) == ("up", place.begun[1].pid)
    place.let(4)
    await place.slot.replace()
    assert (place.slot.state, place.slot.row().pid) == ("up", place.begun[3].pid)


async def test_an_ended_process_has_its_own_exit_code(tmp_path: Path) -> None:
    """A signal that comes as it ends does not take the code from who waits for it."""
    for _ in range(60):
        child = await Child.start(["/bin/true"], tmp_path / "log")
        while child.code is None:
            child.signal(signal.SIGCONT)
            await asyncio.sleep(0)
        assert child.code == 0
