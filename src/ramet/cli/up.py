"""`ramet up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ramet.cli.options import DEFAULT_APP, AppArgument, TopologyFolder
from ramet.topology.instances.control import Question, ask
from ramet.topology.instances.running import run_topology
from ramet.topology.instances.table import table
from ramet.topology.instances.topology import Plan
from ramet.topology.loading import load_app

command = typer.Typer()


@command.command()
def up(
    app: AppArgument = DEFAULT_APP,
    instances: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve.")] = 3,
    replicas: Annotated[int, typer.Option(min=0, max=8, help="Replicas of the database.")] = 1,
    no_redis: Annotated[bool, typer.Option("--no-redis", help="Leave Redis out.")] = False,
    pgbouncer: Annotated[bool, typer.Option("--pgbouncer", help="Put PgBouncer before the database.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="TCP port of nginx, at 127.0.0.1.")] = 8000,
    demo: Annotated[bool, typer.Option("--demo", help="Fill an empty database with the demo data.")] = False,
    folder: TopologyFolder = Path(".ramet"),
    status: Annotated[bool, typer.Option("--status", help="Show how a topology that runs is, and start none.")] = False,
) -> None:
    """Run instances behind nginx on this machine, with PostgreSQL, replicas and Redis of their own, until Ctrl-C.

    For development and tests. Data stays in the folder between runs; what dies is started again. The settings of the
    instances come from the environment, but for the addresses of the parts.
    """
    if status:
        for line in ask(folder, Question("status")):
            console = Console(highlight=False, markup=False, soft_wrap=True)
            console.print(line.url)
            console.print(table(line.rows))
        return
    load_app(app)
    plan = Plan(
        application=app,
        instances=instances,
        replicas=replicas,
        redis=not no_redis,
        pgbouncer=pgbouncer,
        port=port,
        demo=demo,
    )
    raise typer.Exit(run_topology(plan, folder))
