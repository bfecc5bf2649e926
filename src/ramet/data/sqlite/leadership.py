"""One process among several on a file does the chores: whoever holds a lock on a file beside the database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Leadership:
    """Locks are released by the system when the process ends, however it ends."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._held: dict[str, int] = {}

    def take(self, name: str) -> bool:
        """Whether this process leads in `name`; tries to become the leader if nobody is."""
        if name in self._held:
            return True
        file = os.open(f"{self._database}-{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._held[name] = file
        return True

    def close(self) -> None:
        for file in self._held.values():
            os.close(file)
        self._held.clear()
