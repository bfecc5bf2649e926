"""What `ramet serve` becomes: `python -m ramet.cli.process MODE APP PIPE`, which holds nothing of the command line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

from ramet.cli.failures import guarded
from ramet.topology.single.handover import read_settings

MODES: Mapping[str, tuple[str, str]] = {
    "alone": ("ramet.topology.single.alone", "serve_alone"),
    "workers": ("ramet.topology.single.supervisor", "supervise"),
    "reload": ("ramet.topology.single.reload", "serve_reloading"),
}
"""Ways to serve, with the module and function of each: only that one is imported."""


def main(mode: str, reference: str, pipe: str) -> int:
    """Serve until told to stop; gives the exit code."""
    codes: list[int] = []

    def serve() -> None:
        settings = read_settings(int(pipe))
        module, function = MODES[mode]
        codes.append(getattr(importlib.import_module(module), function)(reference, settings))

    return guarded(serve) or codes[0]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
