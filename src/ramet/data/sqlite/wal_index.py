"""Noticing commits by the header of the WAL index, which is memory that all processes on a database share.

Every commit rewrites the first 48 bytes of the `-shm` file before it is acknowledged (see "WAL-Index File Format" in
SQLite's documentation), so comparing them says exactly what `PRAGMA data_version` says, without two system calls.

POSIX drops all locks of a process on a file when the process closes any descriptor of it, SQLite's own too. So there
is one mapping for each file in a process, and it is let go only with the last store on that file.
"""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

HEADER = 48
Identity = tuple[int, int]


class _Mapping:
    """The header of one file in this process's memory, for as many stores as `users` says."""

    def __init__(self, path: str) -> None:
        # mmap keeps a descriptor of its own beside this one; neither may be closed while SQLite has the file open.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.memory = mmap.mmap(self._file, HEADER, access=mmap.ACCESS_READ)
        self.users = 0

    def close(self) -> None:
        self.memory.close()
        os.close(self._file)


_mappings: dict[Identity, _Mapping] = {}


class WalIndex:
    """Watches the database at `path`, which is open in WAL mode. Raises OSError when its index cannot be mapped."""

    def __init__(self, path: Path) -> None:
        shared = f"{path}-shm"
        status = os.stat(shared)
        if status.st_size < HEADER:
            raise OSError(f"{shared} has no header yet.")
        self._identity = (status.st_dev, status.st_ino)
        if self._identity not in _mappings:
            _mappings[self._identity] = _Mapping(shared)
        self._mapping = _mappings[self._identity]
        self._mapping.users += 1
        self._memory = self._mapping.memory
        self._seen = b""

    def moved(self) -> bool:
        """Whether anything was committed since the last call."""
        header = self._memory[:HEADER]
        if header == self._seen:
            return False
        self._seen = header
        return True

    def pages(self) -> int:
        """How many pages the log has, moved into the file or not: `mxFrame` of the header."""
        return int.from_bytes(self._memory[16:20], sys.byteorder)

    def close(self) -> None:
        """Only once this store's connections are closed."""
        self._mapping.users -= 1
        if not self._mapping.users:
            del _mappings[self._identity]
            self._mapping.close()
