"""One process that serves an application by itself."""

from __future__ import annotations

from functools import partial

from ramet.settings import Settings
from ramet.topology.single.current import load_current
from ramet.topology.single.server import serve


def serve_alone(reference: str, settings: Settings) -> int:
    """Serve until told to stop; gives the exit code. What loading and starting raise passes through."""
    return serve(partial(load_current, reference, settings), settings)
