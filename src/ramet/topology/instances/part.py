"""A part of a topology: one process that is kept running."""

from __future__ import annotations

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import msgspec

from ramet.errors import SettingsError
from ramet.topology.instances.child import Child, reason
from ramet.topology.instances.folder import tail

READY = 60.0
"""Seconds in which a part must be ready, from when it last said that it is coming."""
COMING = 3_600.0
"""Seconds after which one that still says so is given up."""
STABLE = 10.0
"""Seconds after which the end of a part is no longer taken for a failure to start."""
BACKOFF = (0.5, 30.0)
"""The first and the longest delay before a part is started again; the first time there is none."""
PAUSE = 0.1

Say = Callable[[str], None]


class Row(msgspec.Struct):
    """How a part is, for people. `state` is one word; `load` and `lag` are empty where they mean nothing."""

    part: str
    state: str
    pid: int | None
    port: int
    load: str = ""
    lag: str = ""
    restarts: int = 0
    detail: str = ""


class Part(ABC):
    """Keeps one process running, from `start` to `stop`. Subclasses say which, and when it is up."""

    stop_signal: int = signal.SIGTERM
    dies_by: signal.Signals = signal.SIGTERM
    patience = 30.0
    """Seconds it has to stop."""

    def __init__(self, name: str, port: int, log: Path, say: Say, account: str | None = None) -> None:
        self.name = name
        self.port = port
        self.log = log
        self.say = say
        self.account = account
        self.child: Child | None = None
        self.state = "stopped"
        self.restarts = 0
        self._failures = 0
        self._keeping: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """What is done once, before its first start."""

    def after_end(self, child: Child) -> None:  # noqa: B027 - most have nothing to do
        """What is to be done when it has ended without having been told to."""

    async def start(self) -> None:
        """Starts it and keeps it running. Raises SettingsError with the end of its log when it does not come up."""
        self.state = "starting"
        await self.prepare()
        await self._launch()
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """Ends it; killed when it takes too long."""
        self.tell_to_stop()
        await self.stopped()

    def tell_to_stop(self) -> None:
        """Begins its end."""
        self.state = "stopping"
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        if self.child is not None:
            self.child.signal(self.stop_signal)

    async def stopped(self) -> None:
        """Waits for its end."""
        if self.child is not None and not await self.child.ends(self.patience):
            self.say(f"{self.name} did not stop in time and was killed.")
        self.state, self.child = "stopped", None

    def kill(self) -> None:
        """At once, for good."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self.child is not None:
            self.child.signal(signal.SIGKILL)

    def row(self) -> Row:
        """How it is."""
        return Row(self.name, self.state, self.child.pid if self.child else None, self.port, restarts=self.restarts)

    @abstractmethod
    async def _launch(self) -> None:
        """Starts `child`, and returns once it is up. Raises SettingsError when it does not come up."""

    async def _keep(self) -> None:
        while True:
            began = time.monotonic()
            if self.child is not None:
                code = await self.child.ended()
                self.after_end(self.child)
                self.state = "down"
                delay = self.next_delay(time.monotonic() - began)
                self.say(f"{self.name} ended ({reason(code)}); starting it again{f' in {delay:g} s' if delay else ''}.")
                await asyncio.sleep(delay)
            self.restarts += 1
            try:
                await self._launch()
            except (SettingsError, OSError) as error:
                self.say(str(error))
                if self.child is not None:
                    await self.child.stop(signal.SIGKILL, 0)

    def next_delay(self, lasted: float) -> float:
        """Seconds before the next start, after it has lasted so long."""
        self._failures = 1 if lasted >= STABLE else self._failures + 1
        return 0.0 if self._failures == 1 else min(BACKOFF[1], BACKOFF[0] * 2 ** (self._failures - 2))


class Program(Part):
    """A part that is one command, and is seen from outside to do its work."""

    @abstractmethod
    def command(self) -> list[str]:
        """What is started."""

    @abstractmethod
    async def alive(self) -> bool:
        """Whether it does its work."""

    def coming(self) -> bool:
        """Whether it says itself that it is at work to become ready: then it is waited for."""
        return False

    async def _launch(self) -> None:
        began = heard = time.monotonic()
        told = False
        self.child = child = await Child.start(
            self.command(), self.log, folder=self.log.parent, account=self.account, dies_by=self.dies_by
        )
        while not await self.alive():
            if child.code is not None:
                raise SettingsError(f"{self.name} could not start ({reason(child.code)}).\n{tail(self.log)}")
            now = time.monotonic()
            if now < began + COMING and self.coming():
                heard = now
                if not told and now > began + READY:
                    told = True
                    self.say(f"{self.name} is not ready yet, and at work to be; see {self.log}.")
            elif now > heard + READY:
                raise SettingsError(f"{self.name} is not ready after {now - began:.0f} s.\n{tail(self.log)}")
            await asyncio.sleep(PAUSE)
        self.state = "up"


async def answers(port: int, question: bytes, expected: bytes) -> bool:
    """Whether what listens on a port of the loopback answers a question with what begins as expected."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(question)
                return not expected or await reader.readexactly(len(expected)) == expected
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
