"""A bound in time for many waits at once, at a fraction of what a timer for each would cost."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Wait(Protocol):
    """What lasts until it has ended or, at `ends` on the loop's clock, has expired."""

    ends: float

    def expire(self) -> None:
        """Called once, when the time is over."""


class TaskWait:
    """One task's wait. `cancelling` counts the requests to end the task that were made before it."""

    __slots__ = ("_cancelling", "_expired", "_task", "ends")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self.ends = 0.0
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def spent(self) -> bool:
        """In a task that was cancelled while it waited: whether that was the bound, and nobody else besides."""
        return self._expired and self._task.uncancel() <= self._cancelling


class Deadline:
    """Expires every wait that lasts longer than `seconds`. All last as long, so one timer does for all.

    What has entered must `leave`, whatever happens.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waits: dict[Wait, None] = {}
        self._armed = False

    def enter_task(self) -> TaskWait:
        """Begins a wait of the running task, which is cancelled when it expires."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Only a task can wait.")
        wait = TaskWait(task)
        self.enter(wait)
        return wait

    def enter(self, wait: Wait) -> None:
        """Begins a wait."""
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.get_running_loop()
            self._armed = False
            self._waits.clear()
        wait.ends = loop.time() + self.seconds
        self._waits[wait] = None
        if not self._armed:
            self._armed = True
            loop.call_at(wait.ends, self._expire, loop)

    def leave(self, wait: Wait) -> None:
        self._waits.pop(wait, None)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the oldest waits, and comes back when the next one is due."""
        if loop is not self._loop:
            return
        now = loop.time()
        while self._waits:
            wait = next(iter(self._waits))
            if wait.ends > now:
                loop.call_at(wait.ends, self._expire, loop)
                return
            del self._waits[wait]
            wait.expire()
        self._armed = False
