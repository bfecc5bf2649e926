"""Holds servers to a share of a core: with a control group where one can be made, else by stopping them in turn."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

PERIOD = 0.1
"""Seconds in which a server may run for its share: what kernels and container platforms take."""
ROOT = Path("/sys/fs/cgroup")


class Share(Protocol):
    """One server's share, until it is released. `how` says what enforces it."""

    how: str

    def release(self) -> None: ...


def hold(name: str, processes: Sequence[int], part: float) -> Share:
    """Holds the processes, together, to `part` of one core from now on."""
    for kind in (UnifiedGroup, LegacyGroup):
        with suppress(OSError):
            return kind(name, processes, part)
    return Turns(processes, part)


class _Group:
    """A control group of its own below `parent`."""

    how = "control group"

    def __init__(self, parent: Path, name: str, processes: Sequence[int], limits: dict[str, str]) -> None:
        self._parent = parent
        self._folder = parent / f"ramet-bench-{os.getpid()}-{name}"
        self._folder.mkdir()
        try:
            for file, value in limits.items():
                _write(self._folder / file, value)
            for process in processes:
                _write(self._folder / "cgroup.procs", str(process))
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Gives the processes back to where they may run freely, and removes the group."""
        file = self._folder / "cgroup.procs"
        for process in file.read_text().split() if file.exists() else ():
            with suppress(OSError):  # it has ended
                _write(self._parent / "cgroup.procs", process)
        self._folder.rmdir()


def _write(file: Path, text: str) -> None:
    """Raises OSError where the kernel has no such file: in a folder of another kind it would only be made."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


class UnifiedGroup(_Group):
    """Version 2. Raises OSError where it is not there or not ours to use."""

    def __init__(self, name: str, processes: Sequence[int], part: float) -> None:
        period = round(PERIOD * 1e6)
        super().__init__(ROOT, name, processes, {"cpu.max": f"{round(period * part)} {period}"})


class LegacyGroup(_Group):
    """Version 1. Raises OSError where it is not there or not ours to use."""

    def __init__(self, name: str, processes: Sequence[int], part: float) -> None:
        period = round(PERIOD * 1e6)
        limits = {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(round(period * part))}
        super().__init__(ROOT / "cpu", name, processes, limits)


class Turns:
    """Stops the processes for the rest of each period. Coarser: what they do not use in their time is lost to them."""

    how = "stopping and continuing"

    def __init__(self, processes: Sequence[int], part: float) -> None:
        self._processes = tuple(processes)
        self._run, self._rest = part * PERIOD, (1 - part) * PERIOD
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._take_turns, daemon=True)
        self._thread.start()

    def _take_turns(self) -> None:
        while not self._end.wait(self._run):
            self._signal(signal.SIGSTOP)
            self._end.wait(self._rest)
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def release(self) -> None:
        self._end.set()
        self._thread.join()
        self._signal(signal.SIGCONT)
