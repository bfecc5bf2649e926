"""Everything that watches a running application: logs, metrics and health, joined to its events and figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ramet.observe import Lifecycle, Observer, Subscriptions
from ramet.operate.exporter import Exporter
from ramet.operate.health import Check, Health
from ramet.operate.logs import Logs
from ramet.operate.metrics import Metrics
from ramet.settings import Settings

Gauges = Mapping[str, tuple[str, Callable[[], float]]]


class Watch:
    """Logs, metrics and health of one process. `operations` are the names that metrics know."""

    def __init__(self, settings: Settings, observer: Observer, operations: Iterable[str]) -> None:
        directory = Path(settings.run_dir) / "metrics" if settings.run_dir else None
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._observer = observer
        self.logs = Logs(settings)
        self._subscriptions = Subscriptions(observer)
        self._started = False
        self.logs.subscribe(self._subscriptions)
        self.metrics = Metrics(operations)
        if settings.metrics:
            self.metrics.subscribe(self._subscriptions)
        self.exporter = Exporter(self.metrics, directory=directory, worker=str(os.getpid()))
        self.health = Health(observer)

    def add(self, gauges: Gauges, checks: Mapping[str, Check], lesser: Mapping[str, Check] = {}) -> None:
        """Registers figures (name: help and how to read it) and the parts that readiness asks for.

        Without `lesser` ones the process is ready all the same.
        """
        for name, (help, read) in gauges.items():
            self.metrics.gauge(name, help, read)
        for name, check in checks.items():
            self.health.register(name, check)
        for name, check in lesser.items():
            self.health.register(name, check, required=False)

    async def start(self) -> None:
        """Begins to batch log lines and to publish figures; needs a running event loop."""
        self.logs.start()
        await self.exporter.start()
        self._started = True
        self._observer.emit(Lifecycle("ready", "Answering requests."))

    async def stop(self) -> None:
        """Writes what is waiting, and hears nothing more."""
        if self._started:
            self._observer.emit(Lifecycle("stopped", "Everything accepted was finished."))
        await self.exporter.stop()
        self._subscriptions.leave()
        self.logs.close()
