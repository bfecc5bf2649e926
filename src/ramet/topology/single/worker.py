"""A worker process: `python -m ramet.topology.single.worker APP SETTINGS LISTENER READY LIFELINE`.

The supervisor starts it with four inherited file descriptors: a pipe with the settings as JSON, the listening socket,
the pipe to report readiness on, and the pipe whose end says that the supervisor is gone.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from functools import partial

from ramet.errors import DeclarationError, SettingsError
from ramet.topology.single.current import load_current
from ramet.topology.single.handover import read_settings
from ramet.topology.single.listener import say
from ramet.topology.single.server import serve


def main(reference: str, settings_pipe: int, listener: int, ready_pipe: int, lifeline: int) -> int:
    """Serve until told to stop. Exit code 2 stands for a declaration or setting that was refused, with its message."""
    settings = read_settings(settings_pipe)
    try:
        return serve(
            partial(load_current, reference, settings),
            settings,
            listener=socket.socket(fileno=listener),
            ready=partial(_report, ready_pipe),
            lifeline=lifeline,
        )
    except (DeclarationError, SettingsError) as error:
        if message := str(error):
            say(message)
        return 2


def _report(ready_pipe: int, url: str) -> None:
    with suppress(BrokenPipeError):  # the supervisor is gone, which the lifeline tells
        os.write(ready_pipe, url.encode())
    os.close(ready_pipe)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:6])))
