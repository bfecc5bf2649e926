"""A bound in time for many waits at once, at a fraction of what a timer for each would cost."""

from __future__ import annotations

import asyncio

import msgspec


class Wait(msgspec.Struct, eq=False):
    """One task's wait. `cancelling` counts the requests to end the task that were made before it."""

    task: asyncio.Task[object]
    ends: float
    cancelling: int
    expired: bool = False

    def spent(self) -> bool:
        """In a task that was cancelled while it waited: whether that was the bound, and nobody else besides."""
        return self.expired and self.task.uncancel() <= self.cancelling


class Deadline:
    """Cancels the task of every wait that lasts longer than `seconds`. All last as long, so one timer does for all.

    `enter` begins a wait of the running task, which must `leave` it, whatever happens.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waits: dict[Wait, None] = {}
        self._armed = False

    def enter(self) -> Wait:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._armed = loop, False
            self._waits.clear()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Only a task can wait.")
        wait = Wait(task, loop.time() + self.seconds, task.cancelling())
        self._waits[wait] = None
        if not self._armed:
            self._armed = True
            loop.call_at(wait.ends, self._expire, loop)
        return wait

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
            wait.expired = True
            wait.task.cancel()
        self._armed = False
