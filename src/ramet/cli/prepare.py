"""What is done before serving, in a process of its own: `python -m ramet.cli.prepare APP [--demo] [--migrate]`.

The settings come on stdin.

It exists so that the serving process never holds what only this needs.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from ramet.app import App
from ramet.cli.application import load
from ramet.cli.failures import Refused, guarded
from ramet.cli.migrating import migrator
from ramet.operate.demo import fill
from ramet.settings import Settings
from ramet.topology.loading import newest_revision


def main(reference: str, *, demo: bool, migrate: bool, settings: Settings) -> None:
    """Bring the database's schema up to date and fill it. Raises Refused when that could lose data.

    With `migrate` revisions that wait are applied, as somebody has read them, and a database server is treated alike.
    """
    app = load(reference)
    current = app.has_schema if migrate else app.prepare
    if not current(settings, newest_revision(reference)):
        for text in migrator(app, reference, settings).apply(reviewed=migrate):
            sys.stderr.write(f"Schema: {text}.\n")
    if demo:
        asyncio.run(_fill(app, settings))


async def _fill(app: App, settings: Settings) -> None:
    if app.demo is None:
        raise Refused("This application has no demo data. Give some with `App(..., demo=function)`.")
    app.configure(msgspec.structs.replace(settings, log_level="warning"))  # it serves nobody
    await app.open()
    try:
        told = await fill(app.as_system(), app.catalog, app.store, app.demo)
        if told:
            sys.stderr.write(told + "\n")
    finally:
        await app.shutdown()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)
    options = sys.argv[2:]
    sys.exit(
        guarded(lambda: main(sys.argv[1], demo="--demo" in options, migrate="--migrate" in options, settings=given))
    )
