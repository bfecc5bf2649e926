"""Serve an application in this process: `python -m tests.process.serve_one APP SETTINGS QUIET HEARING`.

Settings are JSON.
"""

from __future__ import annotations

import sys
from functools import partial

import msgspec

from ramet.settings import Settings
from ramet.topology.loading import load_app
from ramet.topology.single import server

if __name__ == "__main__":
    settings = msgspec.json.decode(sys.argv[2], type=Settings)
    server.QUIET, server.HEARING = map(float, sys.argv[3:5])
    sys.exit(server.serve(partial(load_app, sys.argv[1]), settings))
