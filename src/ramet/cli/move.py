"""`ramet move`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ramet.cli.application import load
from ramet.cli.options import DEFAULT_APP, AppOption
from ramet.data.moving import Move, Sum

command = typer.Typer()


@command.command()
def move(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="sqlite:///PATH")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="postgresql://USER:PASSWORD@HOST/NAME")],
    again: Annotated[bool, typer.Option("--again", help="Begin anew what an earlier move has begun.")] = False,
    app: AppOption = DEFAULT_APP,
) -> None:
    """Copy everything in an embedded database to a new one on a server, and prove it with counts and checksums.

    The server of the source is to be stopped, and the target to have the schema (`ramet migrate apply`). Users,
    sessions, keys, the change log and how far hooks have come are taken along. A move that was interrupted goes on
    where it stopped when it is run again; until it is finished nothing serves the target.
    """
    catalog = load(app).catalog
    with _Bar() as bar:
        moving = Move(catalog, source, target, bar)
        try:
            sums = moving.run(again=again)
        finally:
            moving.close()
    for table, found in sums.items():
        _say(f"{table:30} {found.rows:>12,} rows  {found.checksum}")
    _say(_end(sums))


def _end(sums: dict[str, Sum]) -> str:
    rows = sum(found.rows for found in sums.values())
    return f"{rows:,} rows were moved; counts and checksums agree. Set RAMET_DATABASE_URL to the new address."


class _Bar:
    """A progress bar on the error stream, if somebody looks at it; see `ramet.data.moving.Told`."""

    def __init__(self) -> None:
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("opening", total=0)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, text: str, rows: int) -> None:
        self._progress.update(self._task, description=text, total=rows, completed=0)

    def passed(self, rows: int) -> None:
        self._progress.advance(self._task, rows)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
