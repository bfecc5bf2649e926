"""The table of commands. Each is imported when it is asked for: serving must not hold what only migrating needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from ramet.cli.failures import guarded

COMMANDS: Mapping[str, str] = {
    "new": "ramet.cli.starting",
    "serve": "ramet.cli.serving",
    "check": "ramet.cli.checking",
    "migrate": "ramet.cli.migrating",
    "move": "ramet.cli.move",
    "user": "ramet.cli.users",
    "load": "ramet.cli.load",
    "dump": "ramet.cli.dump",
    "routes": "ramet.cli.routes",
    "openapi": "ramet.cli.openapi",
    "up": "ramet.cli.up",
    "roll": "ramet.cli.roll",
    "render": "ramet.cli.rendering",
}
"""Commands in the order of their help, with the module whose `command` each is."""


class Commands(TyperGroup):
    """The commands of the table."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        found = typer.main.get_command(importlib.import_module(COMMANDS[cmd_name]).command)
        found.name = cmd_name
        return found


commands = typer.Typer(
    name="ramet", cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


@commands.callback()
def _ramet() -> None:
    """A Python backend that a team declares once and never rewrites to grow."""


def main() -> None:
    """The `ramet` command."""
    sys.exit(guarded(commands))
