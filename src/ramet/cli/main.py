"""The table of commands."""

from __future__ import annotations

import sys

import typer

from ramet.cli.failures import guarded
from ramet.cli.serving import serve

commands = typer.Typer(
    name="ramet",
    help="A Python backend that a team declares once and never rewrites to grow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
commands.command()(serve)


@commands.callback()
def _ramet() -> None:
    """A Python backend that a team declares once and never rewrites to grow."""


def main() -> None:
    """The `ramet` command."""
    sys.exit(guarded(commands))
