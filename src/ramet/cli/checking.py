"""`ramet check`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer
from rich.console import Console

from ramet.app import App
from ramet.cli.application import load
from ramet.cli.failures import REFUSED
from ramet.cli.migrating import migrator, outlook
from ramet.cli.options import DEFAULT_APP, AppArgument, Database
from ramet.data.engines import database_exists
from ramet.data.migrations.failures import MigrationError
from ramet.errors import DeclarationError, SettingsError
from ramet.identity.keys import read_root
from ramet.identity.service import check_retention
from ramet.interfaces.http.cors import Cors
from ramet.limits.addresses import Addresses
from ramet.limits.limiter import policies_of
from ramet.operate.logs import check_form
from ramet.settings import Settings
from ramet.topology.loading import newest_revision
from ramet.topology.single.listener import look_up

command = typer.Typer()
T = TypeVar("T")


@command.command()
def check(app: AppArgument = DEFAULT_APP, database: Database = None) -> None:
    """Look at the declaration, the settings, the database and its schema, and change nothing.

    Exit code 1 when serving would be refused.
    """
    report = _Report()
    settings = report.look("settings", lambda: _settings(database))
    loaded = report.look("declaration", lambda: _declaration(app))
    if settings is not None and loaded is not None:
        report.look("database", lambda: _database(loaded, app, settings))
    if report.wrong:
        raise typer.Exit(REFUSED)


class _Report:
    """One line for each part, and whether any was wrong."""

    def __init__(self) -> None:
        self.wrong = False
        self._console = Console(highlight=False, markup=False, soft_wrap=True)

    def look(self, part: str, work: Callable[[], tuple[T, str]]) -> T | None:
        try:
            found, text = work()
        except (DeclarationError, SettingsError, MigrationError) as error:
            self.wrong = True
            self._console.print(f"{part}: {error}")
            return None
        self._console.print(f"{part}: {text}")
        return found


def _settings(database: str | None) -> tuple[Settings, str]:
    """The settings, once everything that serving makes of them alone was made. Tells all that are wrong."""
    settings = Settings.read(database_url=database)
    parts: tuple[Callable[[], object], ...] = (
        lambda: look_up(settings.host, settings.port),
        lambda: read_root(settings.secret) if settings.secret else None,
        lambda: check_form(settings),
        lambda: Addresses(settings.trusted_proxies),
        lambda: Cors(settings.cors_origins),
        lambda: policies_of(settings),
        lambda: check_retention(settings),
    )
    wrong = []
    for part in parts:
        try:
            part()
        except SettingsError as error:
            wrong.append(str(error))
    if wrong:
        raise SettingsError("\n".join(wrong))
    return settings, "can be used"


def _declaration(reference: str) -> tuple[App, str]:
    app = load(reference)
    own = [info.name for info in app.catalog]
    return app, f"{len(own)} resources: {', '.join(own)}"


def _database(app: App, reference: str, settings: Settings) -> tuple[bool, str]:
    if not database_exists(settings.database_url):
        return True, "new, it is made at the first start"
    if app.has_schema(settings, newest_revision(reference)):
        return True, "reachable, with the declared schema"
    found = migrator(app, reference, settings).plan()
    if found.pending:
        raise MigrationError(f"{len(found.pending)} revisions wait. Read them, then run `ramet migrate apply`.")
    if any(step.danger for step in found.steps):
        raise MigrationError("it differs in a way that could lose data. Run `ramet migrate plan`.")
    if not found.steps:
        return True, f"reachable; at the start {outlook(found)} (see `ramet migrate plan`)"
    return True, f"reachable; serving would first make {len(found.steps)} safe changes (see `ramet migrate plan`)"
