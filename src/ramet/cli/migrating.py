"""`ramet migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ramet.app import App
from ramet.cli.application import load
from ramet.cli.options import DEFAULT_APP, AppOption, Database
from ramet.data.migrations.lint import lint
from ramet.data.migrations.renames import read_rename
from ramet.data.migrations.runner import Migrator, Plan
from ramet.settings import Settings
from ramet.topology.loading import migrations_of, newest_revision

command = typer.Typer(help="Bring a database to the schema that is declared.", no_args_is_help=True)


def migrator(app: App, reference: str, settings: Settings) -> Migrator:
    """The migrations of an application's database."""
    return Migrator(settings.database_url, migrations_of(reference), app.catalog, app.schema, app.engine)


@command.command()
def make(
    message: Annotated[str, typer.Option("--message", "-m", help="What changes, in a few words.")] = "",
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE.OLD=NEW", help="A column (or TABLE=NEW, a table) that has another name now."),
    ] = None,
    app: AppOption = DEFAULT_APP,
    database: Database = None,
) -> None:
    """Write a revision with every difference between the declaration and the database, to be read and applied."""
    loaded, settings = load(app), Settings.read(database_url=database)
    renames = [read_rename(text) for text in rename or ()]
    if loaded.has_schema(settings, newest_revision(app)):
        _say("The database has the declared schema already: there is nothing to write.")
        return
    migrations = migrator(loaded, app, settings)
    found = migrations.plan()
    if not (renames or found.steps or found.pending):
        _say(f"There is nothing to write: no table differs. Run `ramet migrate apply`: {outlook(found)}.")
        return
    path = migrations.make(message or _message(rename or ()), renames)
    _say(f"Wrote {_short(path)}. Read it, then run `ramet migrate apply`.")
    _warn(path)


@command.command()
def plan(app: AppOption = DEFAULT_APP, database: Database = None) -> None:
    """Show what `apply` would do, and what older code running beside it would not survive."""
    loaded, settings = load(app), Settings.read(database_url=database)
    if loaded.has_schema(settings, newest_revision(app)):
        _say("Nothing to do: the database has the declared schema.")
        return
    found = migrator(loaded, app, settings).plan()
    for path in found.pending:
        _say(f"revision {path.stem} would be applied")
        _warn(path)
    if found.pending:
        _say("Then what is still different would be done, if it is safe. `ramet migrate apply --try` shows it.")
        return
    for step in found.steps:
        _say(f"{step.text} ({step.danger})" if step.danger else step.text)
    if found.derived or not found.steps:
        _say(outlook(found))
    if any(step.danger for step in found.steps):
        _say("Some of this needs a review: run `ramet migrate make`.")
        raise typer.Exit(1)


@command.command()
def apply(
    attempt: Annotated[bool, typer.Option("--try", help="Carry everything out, then undo it.")] = False,
    app: AppOption = DEFAULT_APP,
    database: Database = None,
) -> None:
    """Apply the revisions that the database lacks, then what is safe: as a whole or not at all.

    On a database server the indexes of tables in use come afterwards, one by one; run it again if that is cut off.
    """
    loaded, settings = load(app), Settings.read(database_url=database)
    done = [] if loaded.has_schema(settings, newest_revision(app)) else _apply(loaded, app, settings, attempt)
    if not done:
        _say("Nothing to do: the database has the declared schema.")
    elif attempt:
        _say("All of this works. It was undone again.")


@command.command()
def status(app: AppOption = DEFAULT_APP, database: Database = None) -> None:
    """Show where the database stands. Exit code 1 when it does not have the declared schema."""
    loaded, settings = load(app), Settings.read(database_url=database)
    current = loaded.has_schema(settings, newest_revision(app))
    found = migrator(loaded, app, settings).plan()
    _say(f"database revision: {found.revision or 'none'}")
    _say(f"waiting: {', '.join(path.stem for path in found.pending) or 'none'}")
    _say(f"schema: {'as declared' if current else _differences(found)}")
    if not current:
        raise typer.Exit(1)


def _apply(app: App, reference: str, settings: Settings, attempt: bool) -> list[str]:
    return migrator(app, reference, settings).apply(reviewed=True, keep=not attempt, tell=_say)


def outlook(found: Plan) -> str:
    """What `apply` does beside steps, of which there may be none."""
    if found.derived:
        return "indexes are made as declared"
    return "what waits is applied" if found.pending else "the new declaration is noted"


def _differences(found: Plan) -> str:
    if not found.steps:
        return f"{outlook(found)} by `ramet migrate apply`"
    unsafe = sum(bool(step.danger) for step in found.steps)
    return f"{len(found.steps)} differences, {unsafe} of which need a review; see `ramet migrate plan`"


def _message(renames: list[str] | tuple[()]) -> str:
    return f"rename {' and '.join(text.replace('=', ' to ') for text in renames)}" if renames else "change the schema"


def _warn(path: Path) -> None:
    for finding in lint(path):
        _say(f"  {path.name}:{finding.line}: {finding.step}\n    beside older code: {finding.why}")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _say(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
