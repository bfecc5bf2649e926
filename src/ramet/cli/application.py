"""Loading and running the application that a command is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from ramet.app import App
from ramet.cli.failures import Refused
from ramet.declare.catalog import ResourceInfo
from ramet.declare.names import nearest
from ramet.settings import Settings
from ramet.topology.loading import load_app, newest_revision


def load(reference: str) -> App:
    """The application. Raises DeclarationError when it is wrong or not found, Refused when it is no `App` of ramet."""
    app = load_app(reference)
    if not isinstance(app, App):
        raise Refused(f"{reference}: this command needs an `App` of ramet, not {type(app).__name__}.")
    return app


@asynccontextmanager
async def running(reference: str, database: str | None) -> AsyncIterator[App]:
    """The application, started for a command: beside a server or without one. A new database is made.

    Raises Refused when the database does not have the declared schema.
    """
    app = load(reference)
    settings = Settings.read(database_url=database)
    if not app.has_schema(settings, newest_revision(reference)):
        raise Refused("The database does not have the declared schema. Run `ramet migrate apply` first.")
    app.configure(msgspec.structs.replace(settings, log_level="error"))
    await app.open()
    try:
        yield app
    finally:
        await app.shutdown()


def resource(app: App, name: str) -> ResourceInfo:
    """A resource by its class name or address. Raises Refused when there is none."""
    info = app.catalog.by_name.get(name) or app.catalog.by_path.get(name)
    if info is None:
        raise Refused(f"There is no resource {name!r}.{nearest(name, [*app.catalog.by_path, *app.catalog.by_name])}")
    return info
