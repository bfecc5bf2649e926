"""`ramet serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from ramet.cli.failures import Refused
from ramet.cli.options import DEFAULT_APP, AppArgument, Database
from ramet.settings import Settings
from ramet.topology.single.current import prepare
from ramet.topology.single.handover import become

command = typer.Typer()


@command.command()
def serve(
    app: AppArgument = DEFAULT_APP,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="TCP port; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that serve the port.")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Start again when the code changes.")] = False,
    database: Database = None,
    demo: Annotated[bool, typer.Option("--demo", help="Fill an empty database with the demo data.")] = False,
) -> None:
    """Serve an application until SIGTERM or Ctrl-C.

    A new database is made. Safe additions to the schema of an existing one are made first; anything that could lose
    data stops the start and says what to run.
    """
    settings = Settings.read(host=host, port=port, workers=workers, database_url=database, demo=demo or None)
    if reload and settings.workers > 1:
        raise Refused("--reload serves with one process: leave --workers out.")
    if settings.demo or (settings.workers > 1 and not reload):
        prepare(app, settings, demo=settings.demo)
    mode = "reload" if reload else "workers" if settings.workers > 1 else "alone"
    become("ramet.cli.process", mode, app, settings=settings)
