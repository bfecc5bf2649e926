"""`ramet new`."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ramet.cli.failures import Refused

# Each file of the folder `template`, and where it goes.
FILES = {
    "app.py.txt": "app.py",
    "test_app.py.txt": "test_app.py",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
}

command = typer.Typer()


@command.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The folder to make; its last part is the name.")],
) -> None:
    """Make an application that runs: its file with one resource and demo data, a test that passes, and a README."""
    folder = Path(name)
    title = re.sub(r"[\W_]+", " ", folder.name).strip().title()
    if not title:
        raise Refused(f"{name!r} has no letter in it. Give the application a name.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} exists and is not empty. Choose another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, target in FILES.items():
            text = files("ramet.cli").joinpath("template", source).read_text(encoding="utf-8")
            (folder / target).write_text(Template(text).substitute(title=title, folder=folder.name), encoding="utf-8")
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}.") from None
    sys.stderr.write(f"Made {folder}. Serve it with:\n\n  cd {folder}\n  ramet serve --demo\n")
