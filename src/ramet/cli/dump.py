"""`ramet dump`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ramet.app import App
from ramet.cli.application import resource, running
from ramet.cli.failures import Refused
from ramet.cli.options import DEFAULT_APP, AppOption, Database, ResourceName
from ramet.cli.records import Format, Writer, format_of
from ramet.declare.catalog import ResourceInfo
from ramet.operations.bulk import Dumping

command = typer.Typer()


@command.command()
def dump(
    name: ResourceName,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A .csv or .jsonl file; - for standard output.")] = "-",
    form: Annotated[
        str | None, typer.Option("--format", help="csv or jsonl, where the suffix does not say it.")
    ] = None,
    app: AppOption = DEFAULT_APP,
    database: Database = None,
) -> None:
    """Write all records of a resource in the order of their ids, without hidden fields.

    `ramet load` takes what this writes, ids and owners included. A file is only replaced once it is complete.
    """
    asyncio.run(_dump(name, file, form, app, database))


async def _dump(name: str, file: str, form: str | None, reference: str, database: str | None) -> None:
    chosen = format_of("x.jsonl" if file == "-" else file, form)
    async with running(reference, database) as app:
        info = resource(app, name)
        if file == "-":
            await _write(app, info, sys.stdout.buffer, chosen)
            sys.stdout.buffer.flush()
            return
        path = Path(file)
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as target:
                count = await _write(app, info, target, chosen)
                target.flush()
                os.fsync(target.fileno())
            part.replace(path)
        except OSError as error:
            raise Refused(f"{file}: {error.strerror}.") from error
        finally:
            with suppress(FileNotFoundError):
                part.unlink()
    sys.stderr.write(f"{info.path}: {count} written to {file}.\n")


async def _write(app: App, info: ResourceInfo, target: BinaryIO, form: Format) -> int:
    writer = Writer(target, form, info.readable)
    count = 0
    async for page in Dumping(app.core, info).pages():
        writer.write(page)
        count += len(page)
    return count
