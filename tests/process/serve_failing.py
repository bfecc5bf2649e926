"""Serves in processes that may die at fail points: `python -m tests.process.serve_failing APP GATES SETTINGS`.

SETTINGS are a JSON array, with one for each slot. Everything is imported once, and each process is a fork of that: one
that was killed is replaced within a fraction of what a start takes. What a fork runs is what `ramet serve` becomes. The
listening sockets are held here, so that whoever connects meanwhile is answered by the next.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
from functools import partial
from pathlib import Path

import msgspec

from ramet.settings import Settings
from ramet.topology.loading import load_app
from ramet.topology.single.current import load_current
from ramet.topology.single.listener import listen, say, url_of
from ramet.topology.single.server import serve
from tests.mutants import switch_off
from tests.process.failing import POINTS, Gates, install

NEEDED = {*(point.target.partition(":")[0] for point in POINTS), "ramet.redis.connection", "ramet.redis.hints"}
"""What is imported when it is needed, but for the application."""


def main(reference: str, gates: Path, slots: list[Settings]) -> None:
    """Serves in each slot, for ever."""
    shared = Gates(gates, len(slots))
    switch_off()
    for module in NEEDED:
        importlib.import_module(module)
    load_app(reference)
    gc.freeze()
    listeners = [listen(settings.host, settings.port) for settings in slots]
    for listener in listeners:
        say(f"Serving {url_of(listener)}")
    running: dict[int, int] = {}
    for slot, settings in enumerate(slots):
        running[fork(reference, shared, slot, settings, listeners[slot])] = slot
    while True:
        pid, _ = os.wait()
        slot = running.pop(pid)
        shared.set(slot, "ready", 0)
        running[fork(reference, shared, slot, slots[slot], listeners[slot])] = slot


def fork(reference: str, gates: Gates, slot: int, settings: Settings, listener: socket.socket) -> int:
    """A process for a slot; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        gates.disarm(slot)
        gates.set(slot, "pid", os.getpid())
        install(gates, slot, settings.database_url.partition(":")[0])
        serve(
            partial(load_current, reference, settings),
            settings,
            listener=listener.dup(),
            ready=lambda url: gates.set(slot, "ready", os.getpid()),
        )
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=list[Settings]))
