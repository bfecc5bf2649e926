"""What several commands are given."""

from __future__ import annotations

from typing import Annotated

import typer

Application = Annotated[
    str,
    typer.Argument(
        metavar="APP",
        envvar="RAMET_APP",
        help="The application: the path of its file or folder, or package.module:name.",
    ),
]
Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="Instead of RAMET_DATABASE_URL: sqlite:///PATH.")
]
DEFAULT_APP = "app.py"
