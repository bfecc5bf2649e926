"""One instance: `python -m ramet.topology.instances.instance APP SETTINGS LISTENER REPORTS LIFELINE`.

It inherits four file descriptors: a pipe with the settings, the listening socket, the pipe it reports on, and the pipe
whose end says that who started it is gone. The socket may be one that another instance still takes connections from.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from ramet.errors import DeclarationError, SettingsError
from ramet.operate.families import Family
from ramet.settings import Settings
from ramet.topology.loading import Application
from ramet.topology.single.current import load_current
from ramet.topology.single.handover import read_settings
from ramet.topology.single.listener import say
from ramet.topology.single.server import serve

INTERVAL = 1.0
"""Seconds between two reports of an instance that is ready; others look more often."""
SOON = 0.1


class Report(msgspec.Struct):
    """How an instance is: `status` as at /ready, `detail` a sentence when something is wrong; counts."""

    status: str
    detail: str = ""
    requests: int = 0
    in_flight: int = 0
    streams: int = 0


class Reporter:
    """Writes a line for each report into a pipe; when nobody reads, they are dropped."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._encoder = msgspec.json.Encoder()
        self._app: Any = None
        self._task: asyncio.Task[None] | None = None

    def load(self, reference: str, settings: Settings) -> Application:
        """The application that is reported on."""
        self._app = load_current(reference, settings)
        return self._app  # type: ignore[no-any-return]  # it is an Application

    def begin(self, _url: str) -> None:
        """Reports from now on, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="reports")

    async def _run(self) -> None:
        while True:
            report = await self._look()
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._pipe, self._encoder.encode(report) + b"\n")
            await asyncio.sleep(INTERVAL if report.status in ("ready", "degraded") else SOON)

    async def _look(self) -> Report:
        watch = getattr(self._app, "watch", None)
        if watch is None:
            return Report("waiting", "Its database cannot be used yet.")
        _, document = await watch.health.ready()
        wrong = [f"{part['name']}: {part['detail']}" for part in document["parts"] if not part["ok"]]
        figures = watch.metrics.figures()
        return Report(
            document["status"],
            "; ".join(wrong),
            int(_sum(figures, "ramet_request_seconds", histogram=True)),
            int(_sum(figures, "ramet_in_flight")),
            int(_sum(figures, "ramet_streams")),
        )


def main(reference: str, settings_pipe: int, listener: int, reports: int, lifeline: int) -> int:
    """Serve until told to stop. Exit code 2 stands for a declaration or setting that was refused, with its message."""
    settings = read_settings(settings_pipe)
    reporter = Reporter(reports)
    try:
        return serve(
            lambda: reporter.load(reference, settings),
            settings,
            listener=socket.socket(fileno=listener),
            ready=reporter.begin,
            lifeline=lifeline,
        )
    except (DeclarationError, SettingsError) as error:
        if message := str(error):
            say(message)
        return 2


def _sum(figures: Mapping[str, Family], name: str, *, histogram: bool = False) -> float:
    family = figures.get(name)
    return sum(sum(values[:-1] if histogram else values) for values in family.series.values()) if family else 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:6])))
