"""The port between limits and whatever counts: in this process, among the workers of a machine, or elsewhere."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Protocol

from ramet.errors import Problem
from ramet.limits.leases import LeasedCounter
from ramet.limits.places import Listed, Place, Scripted, Scripts, Units
from ramet.limits.policy import Decision, Policy
from ramet.limits.storage import anonymous, shared
from ramet.limits.table import SharedTable, Table
from ramet.observe import Lifecycle, Observer
from ramet.settings import Settings

SLOTS = 32_768
BEAT = 2.0
"""Seconds between two signs of life of an instance."""
SWEEP = 0.25
"""Seconds between two looks at leases that have ended."""


class Counter(Protocol):
    """Counts the units that each subject (a caller, an address, an account) has used of one policy.

    `now_ns` is a monotonic clock common to all that share the counter. No method waits for I/O.
    """

    @property
    def policy(self) -> Policy: ...

    def take(self, subject: str, cost: int, now_ns: int) -> Decision:
        """Use `cost` units (0 or more) if they are free; otherwise use none and say when they would be.

        Raises Unleased when it cannot tell without asking elsewhere.
        """
        ...

    def charge(self, subject: str, cost: int, now_ns: int) -> Decision:
        """As `take`, and always able to tell, if need be by less than all that is known elsewhere."""
        ...

    def peek(self, subject: str, now_ns: int) -> Decision:
        """What is free, using nothing and remembering nothing."""
        ...

    def give_back(self, subject: str, now_ns: int) -> None:
        """Return one unit taken a moment ago; without effect when it can no longer be told apart."""
        ...

    def close(self) -> None: ...


class Counters(Protocol):
    """Makes the counter of each policy."""

    def open(self, policy: Policy, *, strict: bool = False) -> Counter:
        """One that is `strict` is exact wherever its units are used."""
        ...

    def open_here(self, policy: Policy) -> Counter:
        """One that is of this process or machine alone."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Present(Protocol):
    """Where instances see each other."""

    async def present(self, name: str) -> int:
        """Gives a sign of life, and tells how many have given one lately. Raises Problem when it cannot be asked."""
        ...


class Instances(NamedTuple):
    """What instances have in common: places for counters, where there are any, and a place to see each other.

    `clock_ns` is monotonic, and that of the limiter. `units` are for strict counters, `scripts` for the others.
    """

    scripts: Scripts | None
    store: Present
    namespace: str
    clock_ns: Callable[[], int]
    units: Units | None = None
    observer: Observer | None = None


def counters_of(settings: Settings, instances: Instances | None = None) -> Counters:
    """The counters of this process, or of all on this machine that have one `run_dir`; or over all instances."""
    directory = Path(settings.run_dir) if settings.run_dir else None
    local = LocalCounters(directory)
    if instances is None:
        return local
    name = secrets.token_hex(8) if directory is None else blake2b(str(directory).encode(), digest_size=8).hexdigest()
    return InstanceCounters(local, instances, name)


class LocalCounters:
    """Counters of fixed size in memory: of this process, or with a `directory` shared by the processes that name it.

    `slots` is how many subjects each policy remembers (a power of two, 64 bytes each); past that the stalest are
    forgotten. Each policy has slots of its own, so that a flood on one cannot make another forget.
    """

    def __init__(self, directory: Path | None = None, slots: int = SLOTS) -> None:
        self._directory = directory
        self._slots = slots

    def open_here(self, policy: Policy) -> Table:
        """The same: there is nobody else."""
        return self.open(policy)

    async def start(self) -> None:
        """Nothing has to be watched."""

    async def stop(self) -> None:
        """Nothing has to be given back."""

    def open(self, policy: Policy, *, strict: bool = False) -> Table:
        """The table of `policy`, exact in any case. Raises OSError when the directory cannot be used."""
        if self._directory is None:
            return Table(policy, anonymous(self._slots))
        return SharedTable(policy, shared(self._directory / f"limit_{policy.name}", self._slots, policy))


class InstanceCounters:
    """Counters over all instances: by leases from a place they share, or without one divided by those that live.

    An instance that joins is seen by the others within `BEAT`; until these have used what they had used before, the sum
    may be larger than the limit by the newcomer's share.
    """

    def __init__(self, local: LocalCounters, shared: Instances, name: str) -> None:
        self._local = local
        self._shared = shared
        self._name = name
        self._counters: list[LeasedCounter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._failing: set[str] = set()
        self.instances = 1

    def open(self, policy: Policy, *, strict: bool = False) -> LeasedCounter:
        """The counter of `policy`. Raises OSError when the directory of the local ones cannot be used."""
        place: Place | None = None
        if strict and self._shared.units is not None:
            place = Listed(self._shared.units)
        elif self._shared.scripts is not None:
            place = Scripted(self._shared.scripts)
        counter = LeasedCounter(
            policy,
            self._local.open(policy),
            place,
            lambda: self.instances,
            self._shared.clock_ns,
            namespace=self._shared.namespace,
            strict=strict,
        )
        self._counters.append(counter)
        return counter

    def open_here(self, policy: Policy) -> Counter:
        """The table of `policy` here."""
        return self._local.open(policy)

    async def start(self) -> None:
        """Begins to look at the others, and at leases that end."""
        with self._going_on("instances cannot be counted"):
            self.instances = await self._shared.store.present(self._name)
        self._tasks = [
            asyncio.create_task(self._watch(), name="count instances"),
            asyncio.create_task(self._sweep(), name="give back what limits have left"),
        ]

    async def stop(self) -> None:
        """Gives back what was not used."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for counter in self._counters:
            with self._going_on("what limits have left cannot be given back"):
                await counter.sweep(all=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            with self._going_on("instances cannot be counted"):
                self.instances = await self._shared.store.present(self._name)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            for counter in self._counters:
                with self._going_on("what limits have left cannot be given back"):
                    await counter.sweep()

    @contextmanager
    def _going_on(self, trouble: str) -> Iterator[None]:
        """Whatever fails is done again at its next turn. It is told of once, but for what the database says itself."""
        try:
            yield
            self._failing.discard(trouble)
        except Problem:
            pass
        except Exception as error:
            if trouble not in self._failing and self._shared.observer is not None:
                self._shared.observer.emit(Lifecycle("limits", f"{trouble}: {error!r}"))
            self._failing.add(trouble)
