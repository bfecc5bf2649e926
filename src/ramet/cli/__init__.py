"""The command line: `ramet`."""

from ramet.cli.main import main

__all__ = ["main"]
