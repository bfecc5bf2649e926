"""`ramet up` from its start to its end: signals, the table, and the socket for other commands."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ramet.topology.instances.control import Control
from ramet.topology.instances.folder import Folder
from ramet.topology.instances.programs import account
from ramet.topology.instances.table import table
from ramet.topology.instances.topology import Plan, Topology

REFRESH = 1.0
"""Seconds between two tables."""


def run_topology(plan: Plan, path: Path) -> int:
    """Runs a topology until SIGTERM or Ctrl-C; gives the exit code. A second signal ends everything at once.

    Raises SettingsError when it cannot be started; nothing is left running then.
    """
    who = account()
    folder = Folder(path, who)
    try:
        return asyncio.run(_Run(plan, folder).run())
    finally:
        folder.close()


class _Run:
    def __init__(self, plan: Plan, folder: Folder) -> None:
        self._plan = plan
        self._folder = folder
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._stop = asyncio.Event()
        self._topology: Topology | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        self._topology = topology = Topology(self._plan, self._folder, self._say)
        control = Control(topology)
        stop = asyncio.ensure_future(self._stop.wait())
        starting = asyncio.ensure_future(topology.start())
        try:
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting})
            else:
                starting.result()
                await control.start()
                self._say(
                    f"Serving {topology.url} with {len(topology.slots)} instances; logs are in {self._folder.logs}"
                )
                await self._show(topology, stop)
            return 0
        finally:
            stop.cancel()
            await control.stop()
            self._say("Stopping.")
            await topology.stop()
            self._say("Everything has stopped.")

    async def _show(self, topology: Topology, stop: asyncio.Future[Any]) -> None:
        """The table, renewed until the end, where somebody sees it."""
        if not self._console.is_terminal:
            await asyncio.wait({stop})
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while not stop.done():
                live.update(table(topology.rows()), refresh=True)
                await asyncio.wait({stop}, timeout=REFRESH)

    def _say(self, text: str) -> None:
        self._console.print(Text(text))

    def _on_signal(self) -> None:
        if self._stop.is_set() and self._topology is not None:
            self._say("Ending everything at once.")
            self._topology.kill()
        self._stop.set()
