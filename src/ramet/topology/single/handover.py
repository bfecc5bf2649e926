"""Settings on their way to another process of ours: they hold secrets, so they go neither into arguments nor files."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import msgspec

from ramet.settings import Settings


def become(module: str, *arguments: str, settings: Settings) -> NoReturn:
    """Replace the present process, memory and all, by `python -m module *arguments PIPE`; the pipe has them."""
    pipe = settings_pipe(settings)
    os.set_inheritable(pipe, True)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments, str(pipe)])


def settings_pipe(settings: Settings) -> int:
    """A pipe that gives the settings once."""
    reading, writing = os.pipe()
    os.write(writing, msgspec.json.encode(settings))
    os.close(writing)
    return reading


def read_settings(pipe: int) -> Settings:
    """The settings that another process of ours wrote into a pipe."""
    with os.fdopen(pipe, "rb") as stream:
        return msgspec.json.decode(stream.read(), type=Settings)
