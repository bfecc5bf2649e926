"""A place for an instance: its port stays, the process in it is replaced.

We hold the listening socket, as the process does, and give it to the successor as well. So a successor takes
connections from the same queue before its predecessor has stopped, and what waits in the queue when a process dies is
answered by the next. Nothing in front has to learn of a change.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from ramet.errors import SettingsError
from ramet.settings import Settings
from ramet.topology.instances.child import Child, reason
from ramet.topology.instances.folder import tail
from ramet.topology.instances.instance import Report
from ramet.topology.instances.part import READY, Part, Row, Say
from ramet.topology.single.handover import settings_pipe
from ramet.topology.single.listener import listen

SILENT = 10.0
"""Seconds without a report after which an instance counts as silent."""


class _Occupant:
    """A process in the slot, and its last report."""

    def __init__(self, child: Child, reports: int) -> None:
        self.child = child
        self.report = Report("starting")
        self.heard = time.monotonic()
        self.rate = 0.0
        self.usable = asyncio.Event()
        self._reports = reports
        self._rest = b""
        self._decoder = msgspec.json.Decoder(Report)
        os.set_blocking(reports, False)
        asyncio.get_running_loop().add_reader(reports, self._hear)

    def close(self) -> None:
        if self._reports >= 0:
            asyncio.get_running_loop().remove_reader(self._reports)
            os.close(self._reports)
            self._reports = -1
        self.usable.set()

    def _hear(self) -> None:
        try:
            found = os.read(self._reports, 65_536)
        except BlockingIOError:
            return
        if not found:
            self.close()
            return
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            now, report = time.monotonic(), self._decoder.decode(line)
            if now > self.heard:
                self.rate = max(0, report.requests - self.report.requests) / (now - self.heard)
            self.report, self.heard = report, now
            if report.status in ("ready", "degraded"):
                self.usable.set()


class Slot(Part):
    """Keeps one instance running on one port. `lifeline` is the pipe whose end tells instances that we are gone."""

    def __init__(
        self, number: int, port: int, log: Path, say: Say, reference: str, settings: Settings, lifeline: int
    ) -> None:
        super().__init__(f"instance {number}", port, log, say)
        self._reference = reference
        self._settings = settings
        self._lifeline = lifeline
        self._listener: socket.socket | None = None
        self._occupant: _Occupant | None = None
        self._others: set[Child] = set()  # a successor that is not ready yet, a predecessor that is finishing
        self.patience = settings.drain_delay + 3 * settings.stop_timeout + 5

    def tell_to_stop(self) -> None:
        """Nobody sends it requests any more, so it need not wait for anybody to learn that."""
        self.stop_signal = signal.SIGINT
        super().tell_to_stop()
        for child in self._others:
            _interrupt(child)

    async def stopped(self) -> None:
        await super().stopped()
        for child in tuple(self._others):
            await child.ends(self.patience)
        if self._occupant is not None:
            self._occupant.close()
        self._let_go()

    def kill(self) -> None:
        super().kill()
        for child in self._others:
            child.signal(signal.SIGKILL)

    async def replace(self) -> None:
        """Starts a successor and, once it is ready, stops the process that is there, which finishes what it has.

        Raises SettingsError when the successor does not become ready; then everything stays as it was.
        """
        if self.state != "up":
            raise SettingsError(f"{self.name} is {self.state}, and is not replaced.")
        self.state = "replacing"
        try:
            successor = await self._begin()
        except SettingsError:
            if self.state == "replacing":
                self.state = "up"
            raise
        if self.state in ("stopping", "stopped"):  # told so meanwhile
            await self._give_up(successor)
            raise SettingsError(f"{self.name} is {self.state}, and is not replaced.")
        self._others.discard(successor.child)
        old, former, keeping = self.child, self._occupant, self._keeping
        if keeping is not None:
            keeping.cancel()
        self.child, self._occupant = successor.child, successor
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.name}")
        if old is not None:
            self._others.add(old)
            if not await old.stop(signal.SIGTERM, self.patience):
                self.say(f"{self.name}: process {old.pid} did not stop in time and was killed.")
            self._others.discard(old)
        if former is not None:
            former.close()
        if self.state in ("replacing", "down") and successor.child.code is None:
            self.state = "up"

    def row(self) -> Row:
        row = super().row()
        if (occupant := self._occupant) is None:
            return row
        report = occupant.report
        if row.state == "up":
            silent = time.monotonic() - occupant.heard > SILENT
            row.state = "silent" if silent else report.status
        row.detail = report.detail
        row.load = f"{occupant.rate:.0f}/s, {report.in_flight} in flight, {report.streams} streams"
        return row

    async def _launch(self) -> None:
        if self._occupant is not None:
            self._occupant.close()
        occupant = await self._begin()
        self._others.discard(occupant.child)
        self.child, self._occupant, self.state = occupant.child, occupant, "up"

    async def _begin(self) -> _Occupant:
        if self._listener is None:
            self._listener = listen("127.0.0.1", self.port)
        settings_read = settings_pipe(self._settings)
        reports, reports_write = os.pipe()
        inherited = (settings_read, self._listener.fileno(), reports_write, self._lifeline)
        module = "ramet.topology.instances.instance"
        command = [sys.executable, "-m", module, self._reference, *map(str, inherited)]
        child = await Child.start(command, self.log, inherited=inherited)
        os.close(settings_read)
        os.close(reports_write)
        self._others.add(child)
        occupant = _Occupant(child, reports)
        try:
            async with asyncio.timeout(READY):
                await occupant.usable.wait()
        except TimeoutError:
            await self._give_up(occupant)
            why = occupant.report.detail or tail(self.log)
            raise SettingsError(f"{self.name} is not ready after {READY:g} s. {why}") from None
        except asyncio.CancelledError:
            await self._give_up(occupant)
            raise
        if occupant.report.status not in ("ready", "degraded"):
            await self._give_up(occupant)
            raise SettingsError(f"{self.name} could not start ({reason(child.code or 0)}).\n{tail(self.log)}")
        return occupant

    async def _give_up(self, occupant: _Occupant) -> None:
        occupant.close()
        _interrupt(occupant.child)
        await occupant.child.ends(self.patience)
        self._others.discard(occupant.child)

    def next_delay(self, lasted: float) -> float:
        """While others serve, nobody should wait in the queue of one that keeps failing."""
        delay = super().next_delay(lasted)
        if delay:
            self._let_go()
        return delay

    def _let_go(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _interrupt(child: Child) -> None:
    """Tells it to stop without leaving anybody time to learn of it.

    While modules are imported SIGTERM ends the process; what SIGINT raises there can be lost, in a callback of a lock.
    """
    child.signal(signal.SIGTERM)
    child.signal(signal.SIGINT)
