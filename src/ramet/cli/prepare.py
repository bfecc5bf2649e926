"""What is done before serving, in a process of its own: `python -m ramet.cli.prepare APP [--demo]`, settings on stdin.

It exists so that the serving process never holds what only this needs.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from ramet.app import App
from ramet.cli.failures import Refused, guarded
from ramet.settings import Settings
from ramet.topology.loading import load_app, newest_revision


def main(reference: str, *, demo: bool, settings: Settings) -> None:
    """Bring the database's schema up to date and fill it. Raises Refused when that could lose data."""
    app = load_app(reference)
    if not isinstance(app, App):
        raise Refused(f"{reference} is not a Ramet application.")
    if not app.prepare(settings, newest_revision(reference)):
        raise Refused("The database has another schema.")
    if demo:
        asyncio.run(_fill(app, settings))


async def _fill(app: App, settings: Settings) -> None:
    if app.demo is None:
        raise Refused("This application has no demo data. Give some with `App(..., demo=function)`.")
    app.configure(settings)
    await app.startup()
    try:
        context = app.as_system()
        for info in app.catalog:
            if await context.count(info.cls):
                return
        told = await app.demo(context)
        if told:
            sys.stderr.write(told + "\n")
    finally:
        await app.shutdown()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)
    sys.exit(guarded(lambda: main(sys.argv[1], demo="--demo" in sys.argv[2:], settings=given)))
