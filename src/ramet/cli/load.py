"""`ramet load`."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ramet.app import App
from ramet.cli.application import resource, running
from ramet.cli.failures import REFUSED, Refused
from ramet.cli.options import DEFAULT_APP, AppOption, Database, ResourceName
from ramet.cli.records import format_of, read_csv, read_json_lines
from ramet.declare.catalog import ResourceInfo
from ramet.errors import Problem
from ramet.identity.users import User, find_user, normalise
from ramet.operations.bulk import Entry, Loading

CHUNK = 256
"""Records that share one commit."""

command = typer.Typer()


@command.command()
def load(
    name: ResourceName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .csv or .jsonl file; - for the standard input.")],
    form: Annotated[
        str | None, typer.Option("--format", help="csv or jsonl, where the suffix does not say it.")
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="EMAIL", help="Whose records they become.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Load a file once more that was loaded before.")] = False,
    app: AppOption = DEFAULT_APP,
    database: Database = None,
) -> None:
    """Store the records of a file.

    Every record is checked as the API would; one that is refused is reported with its line and stops nothing. A load
    that was interrupted goes on where it stopped when it is run again. Exit code 1 when any record was refused.
    """
    if asyncio.run(_load(name, file, form, owner, again, app, database)):
        raise typer.Exit(REFUSED)


async def _load(
    name: str, file: str, form: str | None, owner: str | None, again: bool, reference: str, database: str | None
) -> int:
    """How many records were refused."""
    async with running(reference, database) as app:
        info = resource(app, name)
        with ExitStack() as stack:
            source = _open(file, stack)
            limit = app.settings.body_limit
            is_csv = format_of(file, form) == "csv"
            entries = read_csv(source, info, limit) if is_csv else read_json_lines(source, limit)
            loading = Loading(app.core, app.handlers.writing, info, await _owner(app, owner), _name(info, file, owner))
            start = await loading.begin(again=again or not _recognised(file))
            if start.line or start.beyond:
                _say(f"This file was loaded before, to line {start.line}; going on. --again loads it once more.")
            await _store(loading, entries, stack.enter_context(_Bar(file, source)))
        done = loading.progress
        _say(f"{info.path}: {done.stored} stored, {done.refused} refused.")
        return done.refused


async def _store(loading: Loading, entries: Iterator[Entry], bar: _Bar) -> None:
    refusal: Refused | None = None
    while refusal is None:
        chunk: list[Entry] = []
        try:
            chunk.extend(islice(entries, CHUNK))
        except Refused as error:
            refusal = error  # what stands before it is stored
        if not chunk:
            break
        for entry, problem in await loading.store(chunk):
            for reason in _reasons(problem):
                bar.say(f"line {entry.line}: {reason}")
        bar.advance()
    if refusal is not None:
        raise refusal
    await loading.finish()


def _reasons(problem: Problem) -> list[str]:
    return [f"{fault.pointer.lstrip('/')}: {fault.detail}" for fault in problem.faults] or [problem.detail]


def _open(file: str, stack: ExitStack) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}.") from None


async def _owner(app: App, email: str | None) -> str | None:
    if email is None:
        return None
    found = await find_user(app.as_system(), User, normalise(email))
    if found is None:
        raise Refused(f"There is no user {email}. Make one with `ramet user create --email {email}`.")
    return found.id


def _name(info: ResourceInfo, file: str, owner: str | None) -> str:
    """What an interrupted load is recognised by: what is in the file. A pipe is not recognised."""
    if not _recognised(file):
        return f"{info.path} -"
    with Path(file).open("rb") as source:
        content = hashlib.file_digest(source, "sha256")
    return f"{info.path} {content.hexdigest()} {owner or ''}".strip()


def _recognised(file: str) -> bool:
    """Whether it can be read twice."""
    return Path(file).is_file()


class _Bar:
    """A progress bar on the error stream, if somebody looks at it."""

    def __init__(self, file: str, source: BinaryIO) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._source = source
        self._known = _recognised(file)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (self._console.is_terminal and self._known),
            transient=True,
        )
        total = Path(file).stat().st_size if self._known else None
        self._task: TaskID = self._progress.add_task(file, total=total)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        if self._known and not self._source.closed:
            self._progress.update(self._task, completed=self._source.tell())

    def say(self, text: str) -> None:
        self._progress.console.print(text)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
