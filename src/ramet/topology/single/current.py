"""Serving only on the schema that is declared: what is safe is done first, what is not stops the start."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from ramet.errors import SettingsError
from ramet.settings import Settings
from ramet.topology.loading import Application, load_app, newest_revision


def load_current(reference: str, settings: Settings) -> Application:
    """The application, once its database has the declared schema.

    The usual case takes one small read. The rest is done by another process, whose memory it takes with it.
    Raises SettingsError when that was refused; the process has said why.
    """
    app = load_app(reference)
    if not app.prepare(settings, newest_revision(reference)):
        prepare(reference, settings)
    return app


def prepare(reference: str, settings: Settings, *, demo: bool = False) -> None:
    """Let another process make safe additions to the schema and, with `demo`, fill an empty database.

    Raises SettingsError, without a message, when it was refused; the process has said why.
    """
    command = [sys.executable, "-m", "ramet.cli.prepare", reference, *(["--demo"] if demo else [])]
    if subprocess.run(command, input=msgspec.json.encode(settings)).returncode:
        raise SettingsError
