"""`ramet roll`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from ramet.cli.failures import REFUSED
from ramet.cli.options import TopologyFolder
from ramet.topology.instances.control import Question, ask

command = typer.Typer()


@command.command()
def roll(folder: TopologyFolder = Path(".ramet")) -> None:
    """Replace the instances of a running `ramet up` one at a time, by ones with the code as it is now.

    Migrations that wait are applied first. Each successor takes requests before its predecessor stops, which finishes
    what it has; no request fails. When a successor does not become ready, the rest stays as it is: exit code 1.
    """
    for line in ask(folder, Question("roll")):
        sys.stderr.write(line.text + "\n")
        if line.failed:
            raise typer.Exit(REFUSED)
