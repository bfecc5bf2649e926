"""The port between limits and whatever counts: in this process, among the workers of a machine, or elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ramet.limits.policy import Decision, Policy
from ramet.limits.storage import anonymous, shared
from ramet.limits.table import SharedTable, Table
from ramet.settings import Settings

SLOTS = 32_768


class Counter(Protocol):
    """Counts the units that each subject (a caller, an address, an account) has used of one policy.

    `now_ns` is a monotonic clock common to all that share the counter. No method waits for I/O.
    """

    @property
    def policy(self) -> Policy: ...

    def take(self, subject: str, cost: int, now_ns: int) -> Decision:
        """Use `cost` units (0 or more) if they are free; otherwise use none and say when they would be."""
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

    def open(self, policy: Policy) -> Counter: ...


def counters_of(settings: Settings) -> Counters:
    """The counters of this process, or of all on this machine that have one `run_dir`."""
    return LocalCounters(Path(settings.run_dir) if settings.run_dir else None)


class LocalCounters:
    """Counters of fixed size in memory: of this process, or with a `directory` shared by the processes that name it.

    `slots` is how many subjects each policy remembers (a power of two, 64 bytes each); past that the stalest are
    forgotten. Each policy has slots of its own, so that a flood on one cannot make another forget.
    """

    def __init__(self, directory: Path | None = None, slots: int = SLOTS) -> None:
        self._directory = directory
        self._slots = slots

    def open(self, policy: Policy) -> Table:
        """The table of `policy`. Raises OSError when the directory cannot be used."""
        if self._directory is None:
            return Table(policy, anonymous(self._slots))
        return SharedTable(policy, shared(self._directory / f"limit_{policy.name}", self._slots, policy))
