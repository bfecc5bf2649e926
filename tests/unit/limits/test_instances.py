"""Instances that see each other: whatever goes wrong at one look, there is another."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ramet.limits import counters
from ramet.limits.counters import InstanceCounters, Instances, LocalCounters
from ramet.observe import Lifecycle, Observer
from tests.process.copies import until


class Store:
    """Sees three instances, then two times nothing, then four."""

    def __init__(self) -> None:
        self.looks = 0

    async def present(self, name: str) -> int:
        self.looks += 1
        if self.looks in (2, 3):
            raise RuntimeError("not a problem that anybody knows")
        return 3 if self.looks == 1 else 4


class Counter:
    """Cannot give back what is left, the first time."""

    def __init__(self) -> None:
        self.sweeps = 0

    async def sweep(self, *, all: bool = False) -> None:
        self.sweeps += 1
        if self.sweeps == 1:
            raise RuntimeError("not a problem that anybody knows")


async def test_a_look_and_a_sweep_that_fail_are_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "BEAT", 0.01)
    monkeypatch.setattr(counters, "SWEEP", 0.01)
    store, counter, observer = Store(), Counter(), Observer()
    told: list[str] = []
    observer.subscribe(Lifecycle, lambda event: told.append(event.detail.partition(":")[0]))
    instances = Instances(None, store, "test", time.monotonic_ns, observer=observer)
    found: Any = InstanceCounters(LocalCounters(None), instances, "one")
    await found.start()
    assert found.instances == 3
    found._counters.append(counter)
    await until(lambda: found.instances == 4 and counter.sweeps > 1)
    await found.stop()
    assert sorted(told) == ["instances cannot be counted", "what limits have left cannot be given back"]
