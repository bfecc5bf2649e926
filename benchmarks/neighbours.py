"""Programs that use a share of a core as an instance does, and nothing else: no database, no network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.servers import Cores
from benchmarks.share import hold

_WORK = """\
import json
records = [{"id": str(number), "text": "x" * 200} for number in range(1_500)]
while True:
    records = json.loads(json.dumps(records))
"""
"""As much memory as an instance goes through for a request or two, and code that is as scattered."""


class Neighbours:
    """So many of them, all asleep."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        self.wake(0)

    def wake(self, count: int) -> None:
        """Lets the first `count` run, and no other."""
        for number, process in enumerate(self._processes):
            os.kill(process.pid, signal.SIGCONT if number < count else signal.SIGSTOP)


@contextmanager
def neighbours(count: int, cores: Cores, part: float) -> Iterator[Neighbours]:
    """Starts `count` on the core of servers, each held to `part` of it; ends them."""
    pinned = ["taskset", "-c", str(cores.server)] if cores.load is not None else []
    processes = [subprocess.Popen([*pinned, sys.executable, "-c", _WORK]) for _ in range(count)]
    shares = [hold(f"neighbour-{number}", [process.pid], part) for number, process in enumerate(processes)]
    try:
        yield Neighbours(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for share in shares:
            share.release()
