"""Serving while the application is being written: its process is replaced when its code changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from watchfiles import PythonFilter, watch

from ramet.settings import Settings
from ramet.topology.loading import folder_of
from ramet.topology.single.listener import say
from ramet.topology.single.supervisor import Supervisor

WATCHED = (".html", ".toml")
"""Files that count besides Python's own. An embedded database in the same folder does not."""


def serve_reloading(reference: str, settings: Settings, *, ready: Callable[[str], None] | None = None) -> int:
    """Serve in one process that is replaced at each change in the application's folder; gives the exit code.

    The port stays open meanwhile: requests wait for the new process. When the application cannot start, the next
    change is waited for. Raises DeclarationError for a wrong `reference` and SettingsError for the port.
    """
    folder = folder_of(reference)
    supervisor = Supervisor(
        reference, msgspec.structs.replace(settings, workers=1), persist=True, ready=ready or _announce
    )
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, supervisor.reload, stop), daemon=True)
    watcher.start()
    try:
        return supervisor.run()
    finally:
        stop.set()
        watcher.join()


def _watch(folder: Path, changed: Callable[[], None], stop: threading.Event) -> None:
    for changes in watch(
        folder, watch_filter=PythonFilter(extra_extensions=WATCHED), stop_event=stop, rust_timeout=200, debounce=200
    ):
        names = sorted({Path(path).name for _, path in changes})
        say(f"{', '.join(names)} changed; starting again.")
        changed()


def _announce(url: str) -> None:
    say(f"Serving {url}; it starts again when its code changes.")
