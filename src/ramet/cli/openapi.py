"""`ramet openapi`."""

from __future__ import annotations

import sys

import msgspec
import typer

from ramet.cli.application import load
from ramet.cli.options import DEFAULT_APP, AppOption
from ramet.interfaces.rest.openapi.document import openapi_document
from ramet.interfaces.rest.routes import Routes
from ramet.settings import Settings

command = typer.Typer()


@command.command()
def openapi(app: AppOption = DEFAULT_APP) -> None:
    """Print the OpenAPI document of the application, as /api/openapi.json gives it."""
    loaded = load(app)
    document = openapi_document(loaded.catalog, Routes(loaded.catalog), Settings.read(), loaded.authority)
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
