"""What several commands are given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_APP = "app.py"
_HELP = "The application: the path of its file or folder, or package.module:name."

AppArgument = Annotated[str, typer.Argument(metavar="[APP]", envvar="RAMET_APP", help=_HELP)]
AppOption = Annotated[str, typer.Option("--app", metavar="APP", envvar="RAMET_APP", help=_HELP)]
Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="Instead of RAMET_DATABASE_URL: sqlite:///PATH.")
]
Form = Annotated[str | None, typer.Option("--format", help="csv or jsonl, where the suffix does not say it.")]
ResourceName = Annotated[str, typer.Argument(metavar="RESOURCE", help="A resource, by its class name or address.")]
TopologyFolder = Annotated[
    Path, typer.Option("--folder", metavar="PATH", help="Where a topology keeps its data, ports and logs.")
]
