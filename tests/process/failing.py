"""Fail points: named steps of a write, of a fill and of following, at which a serving process dies, pauses or fails.

They are seams between methods of the product, which only the tests' own serving process wraps (`serve_failing`): none
of it ships, and nothing is asked on the way of a request that is served. A point whose method is gone does not install,
and one that is never passed fails the test that uses it.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

Side = Literal["write", "fill", "follow", "hook"]
Action = Literal["kill", "pause", "raise"]
ACTIONS: tuple[Action, ...] = ("kill", "pause", "raise")
BOTH = ("postgresql", "sqlite")
_POSTGRES, _SQLITE = BOTH[:1], BOTH[1:]
PAUSE = 0.002


class Injected(Exception):
    """What a point raises."""


class Point(NamedTuple):
    """`target` is MODULE:CLASS.METHOD, `when` the side of it; `only` the argument that it is passed with, if one.

    A caller whose write fails `after` its commit has no answer, as after a kill. `raises` is False where the product
    says of the method that it does not.
    """

    name: str
    side: Side
    target: str
    when: Literal["before", "after"]
    engines: tuple[str, ...] = BOTH
    raises: bool = True
    only: str = ""


_PG, _LITE = "ramet.data.postgres", "ramet.data.sqlite"
POINTS = (
    Point("before the statement", "write", f"{_PG}.writer:Writer._alone", "before", _POSTGRES),
    Point("after the statement, committed with it", "write", f"{_PG}.writer:Writer._alone", "after", _POSTGRES),
    Point("before a statement of several", "write", f"{_PG}.transaction:PostgresTransaction._run", "before", _POSTGRES),
    Point("after a statement of several", "write", f"{_PG}.transaction:PostgresTransaction._run", "after", _POSTGRES),
    Point("before the commit", "write", "asyncpg.connection:Connection.execute", "before", _POSTGRES, only="COMMIT"),
    Point("after the commit", "write", "asyncpg.connection:Connection.execute", "after", _POSTGRES, only="COMMIT"),
    Point("before it is applied here", "write", f"{_PG}.store:PostgresStore._committed", "before", _POSTGRES),
    Point("after it is applied here", "write", f"{_PG}.store:PostgresStore._committed", "after", _POSTGRES),
    Point("before the hint", "write", "ramet.changes.follower:Follower._tell", "before", _POSTGRES),
    Point("after the hint", "write", "ramet.changes.follower:Follower._tell", "after", _POSTGRES),
    Point("before the statements", "write", f"{_LITE}.writer:Writer._run_batch", "before", _SQLITE),
    Point("after the statements", "write", f"{_LITE}.writer:Writer._run_batch", "after", _SQLITE, raises=False),
    Point("before the commit of a batch", "write", f"{_LITE}.writer:Writer._commit", "before", _SQLITE),
    Point(
        "before a batch is applied here",
        "write",
        "ramet.changes.ordered:OrderedFeed.committed",
        "before",
        _SQLITE,
        raises=False,
    ),
    Point(
        "after a batch is applied here",
        "write",
        "ramet.changes.ordered:OrderedFeed.committed",
        "after",
        _SQLITE,
        raises=False,
    ),
    Point("before the answer", "write", "ramet.operations.changing:Changing.execute", "after"),
    Point("before the fill reads", "fill", "ramet.operations.reading:Reading._read", "before"),
    Point("after the fill has read", "fill", "ramet.operations.reading:Reading._read", "after"),
    Point("before it is kept near", "fill", "ramet.cache.near:NearCache.put", "before"),
    Point("after it is kept near", "fill", "ramet.cache.near:NearCache.put", "after"),
    Point("before the shared cache is asked", "fill", "ramet.cache.shared:SharedCache.find", "before", _POSTGRES),
    Point("after the shared cache is asked", "fill", "ramet.cache.shared:SharedCache.find", "after", _POSTGRES),
    Point("before it is shared", "fill", "ramet.cache.shared:SharedCache._put", "before", _POSTGRES),
    Point("after it is shared", "fill", "ramet.cache.shared:SharedCache._put", "after", _POSTGRES),
    Point("before a look at the log", "follow", "ramet.changes.follower:Follower._look", "before", _POSTGRES),
    Point("before changes are delivered", "follow", "ramet.changes.feed:Feed.deliver", "before", _POSTGRES),
    Point("after changes are delivered", "follow", "ramet.changes.feed:Feed.deliver", "after", _POSTGRES),
    Point("before new rows are applied", "follow", "ramet.changes.ordered:OrderedFeed._apply", "before", _SQLITE),
    Point("after new rows are applied", "follow", "ramet.changes.ordered:OrderedFeed._apply", "after", _SQLITE),
    Point("before a hook runs", "hook", "ramet.operations.outbox:Outbox._call", "before", raises=False),
    Point("after a hook has run", "hook", "ramet.operations.outbox:Outbox._call", "after", raises=False),
    Point("before the place of hooks is kept", "hook", "ramet.operations.outbox:Outbox._keep", "before"),
    Point("after the place of hooks is kept", "hook", "ramet.operations.outbox:Outbox._keep", "after"),
)
NUMBER = {point.name: number for number, point in enumerate(POINTS)}


def points(engine: str, *sides: Side) -> list[Point]:
    """Those that can be passed on an engine, of some sides."""
    return [point for point in POINTS if engine in point.engines and point.side in sides]


class _Slot(NamedTuple):
    """What driver and process share of one place for a process, and where."""

    armed: int
    turn: int
    action: int
    skip: int
    hit: int
    pid: int
    ready: int


_FORM = struct.Struct("=7q")
_SIZE = _FORM.size + 8 * len(POINTS)


class Gates:
    """Memory that a driver shares with the processes of `count` slots: which point is armed, and what has been passed.

    `hit` is what happened at the armed point: 0 nothing, 1 it was reached.
    """

    def __init__(self, path: Path, count: int) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE * count))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def _place(self, slot: int, name: str) -> int:
        return slot * _SIZE + 8 * _Slot._fields.index(name)

    def get(self, slot: int, name: str) -> int:
        return int(struct.unpack_from("=q", self._memory, self._place(slot, name))[0])

    def set(self, slot: int, name: str, value: int) -> None:
        struct.pack_into("=q", self._memory, self._place(slot, name), value)

    def arm(self, slot: int, point: Point, action: Action, skip: int = 0) -> None:
        """Something happens when the slot's process passes the point, after it has passed so often."""
        self.set(slot, "hit", 0)
        self.set(slot, "action", ACTIONS.index(action))
        self.set(slot, "skip", skip)
        self.set(slot, "turn", self.get(slot, "turn") + 1)
        self.set(slot, "armed", NUMBER[point.name] + 1)

    def disarm(self, slot: int) -> None:
        """Nothing happens any more; what pauses goes on."""
        self.set(slot, "armed", 0)

    def holds(self, slot: int, turn: int) -> bool:
        """Whether what has paused in a turn is still to."""
        return bool(self.get(slot, "armed")) and self.get(slot, "turn") == turn

    def passed(self, slot: int, number: int) -> int:
        """How often a point was passed."""
        return int(struct.unpack_from("=q", self._memory, slot * _SIZE + _FORM.size + 8 * number)[0])

    def reached(self, slot: int, number: int) -> Action | None:
        """Called by the process: counts, and says what is to happen."""
        place = slot * _SIZE + _FORM.size + 8 * number
        struct.pack_into("=q", self._memory, place, self.passed(slot, number) + 1)
        if self.get(slot, "armed") != number + 1 or self.get(slot, "hit"):
            return None
        if left := self.get(slot, "skip"):
            self.set(slot, "skip", left - 1)
            return None
        self.set(slot, "hit", 1)
        return ACTIONS[self.get(slot, "action")]


def install(gates: Gates, slot: int, engine: str) -> None:
    """Wraps the methods at the points of an engine, in this process, for good."""
    for point in POINTS:
        if engine in point.engines:
            module, _, path = point.target.partition(":")
            owner, _, method = path.partition(".")
            cls = getattr(importlib.import_module(module), owner)
            setattr(cls, method, _wrapped(getattr(cls, method), point, gates, slot))


def _wrapped(method: Callable[..., Any], point: Point, gates: Gates, slot: int) -> Callable[..., Any]:
    number, first = NUMBER[point.name], point.when == "before"

    def concerns(arguments: tuple[Any, ...]) -> bool:
        return not point.only or point.only in arguments

    if not inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        def plain(*arguments: Any, **more: Any) -> Any:
            if first:
                _at(gates, slot, gates.reached(slot, number))
                return method(*arguments, **more)
            result = method(*arguments, **more)
            _at(gates, slot, gates.reached(slot, number))
            return result

        return plain

    @functools.wraps(method)
    async def waiting(*arguments: Any, **more: Any) -> Any:
        if not concerns(arguments):
            return await method(*arguments, **more)
        if first:
            await _in(gates, slot, gates.reached(slot, number))
            return await method(*arguments, **more)
        result = await method(*arguments, **more)
        await _in(gates, slot, gates.reached(slot, number))
        return result

    return waiting


def _at(gates: Gates, slot: int, action: Action | None) -> None:
    """One that pauses between two calls stands still altogether, until it is disarmed or killed."""
    if action == "raise":
        raise Injected
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    turn = gates.get(slot, "turn")
    while action is not None and gates.holds(slot, turn):
        time.sleep(PAUSE)  # waits: for the driver to race it


async def _in(gates: Gates, slot: int, action: Action | None) -> None:
    """One that pauses where it waits anyway does other work meanwhile, until it is disarmed."""
    if action == "pause":
        turn = gates.get(slot, "turn")
        while gates.holds(slot, turn):  # noqa: ASYNC110 - what changes is memory of another process
            await asyncio.sleep(PAUSE)  # waits: for the driver to race it
    else:
        _at(gates, slot, action)
