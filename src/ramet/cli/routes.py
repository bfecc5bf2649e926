"""`ramet routes`."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from ramet.cli.application import load
from ramet.cli.options import DEFAULT_APP, AppOption
from ramet.interfaces.rest.routes import BATCH, Routes

command = typer.Typer()


@command.command()
def routes(app: AppOption = DEFAULT_APP) -> None:
    """Show every operation of the REST interface."""
    table = Table("Method", "Address", "Operation", box=None, pad_edge=False)
    for target in Routes(load(app).catalog):
        table.add_row(target.method, target.path, target.name)
    table.add_row("POST", BATCH, "batch")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
