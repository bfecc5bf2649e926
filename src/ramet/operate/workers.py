"""What every worker of this machine has counted, through one directory: any of them can answer for all.

Each worker keeps one file, `<id>.figures`, replaced as a whole, and holds a lock on `<id>.alive` for as long as it
lives: the kernel takes the lock away from a dead one, whatever it died of. What a dead worker counted is added to the
file `retired` by the next one that starts, so that a sum never goes down. `retired` names those added to it that may
still have a file, so that a crash between the two steps counts nobody twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ramet.operate.families import Families, Family, add, lasting

_FIGURES, _ALIVE, _NEW, _RETIRED = ".figures", ".alive", ".new", "retired"
_TRIES = 100  # each is spoilt only by a worker that starts at that very moment


class Figures(msgspec.Struct):
    """The file of one worker: its name, and its families."""

    worker: str
    families: Families


class Retired(msgspec.Struct):
    """The sum of the workers that are gone. `added` are the ids whose files may still be there."""

    families: Families = {}
    added: list[str] = []


class Workers:
    """This worker's place among the others in `directory`, which is made when it is missing. Raises OSError.

    `publish` and `others` may be called from any thread. Files are never waited for: no lock here blocks.
    """

    def __init__(self, directory: Path, worker: str) -> None:
        self.id = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._worker = worker
        self._directory = directory
        self._lock = threading.Lock()
        self._published = -1
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._alive = self._hold()
        self._fold()

    def publish(self, families: Mapping[str, Family], serial: int) -> None:
        """Replaces this worker's file, unless a later `serial` is there already. Raises OSError."""
        with self._lock:
            if serial > self._published and self._alive >= 0:
                self._replace(self.id + _FIGURES, Figures(self._worker, dict(families)))
                self._published = serial

    def others(self) -> tuple[list[Figures], Families]:
        """The latest of each other living worker, and the sum of those that are gone."""
        for _ in range(_TRIES):
            before = self._stamp()
            alive, gone = self._read(self._retired())
            if self._stamp() == before:  # else somebody may be counted twice, or not at all: look again
                return alive, gone
        raise OSError("the figures of the other workers do not come to rest")

    def close(self) -> None:
        """Leaves: what was published last becomes part of the retired."""
        with self._lock:
            if self._alive >= 0:
                os.close(self._alive)
                self._alive = -1

    def _read(self, retired: Retired) -> tuple[list[Figures], Families]:
        alive: list[Figures] = []
        gone: Families = {}
        add(gone, retired.families)
        for other in self._ids():
            if other == self.id or other in retired.added:
                continue
            living = self._lives(other)  # asked first: whoever is dead by now writes no more
            figures = self._load(other)
            if figures is not None and living:
                alive.append(figures)
            elif figures is not None:
                add(gone, lasting(figures.families))
        return alive, gone

    def _hold(self) -> int:
        """Makes the lock under another name first: a file that is there is locked, or its owner is dead."""
        fresh = self._directory / f"{self.id}.hold"
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(fresh, self._directory / (self.id + _ALIVE))
        return descriptor

    def _lives(self, other: str) -> bool:
        try:
            descriptor = os.open(self._directory / (other + _ALIVE), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _fold(self) -> None:
        """Adds the dead to the retired. One worker at a time; whoever comes second leaves it to the first."""
        descriptor = os.open(self._directory / ".fold", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            retired = self._retired()
            dead = [other for other in self._ids() if other != self.id and not self._lives(other)]
            for other in dead:
                figures = self._load(other) if other not in retired.added else None
                if figures is not None:
                    add(retired.families, lasting(figures.families))
            if dead:
                self._replace(_RETIRED, Retired(retired.families, dead))
            for other in dead:
                (self._directory / (other + _FIGURES)).unlink(missing_ok=True)
            self._sweep()
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Removes what the dead left beside their figures."""
        figures = set(self._ids())
        for file in sorted(self._directory.iterdir(), key=lambda file: file.suffix == _ALIVE):
            if file.suffix in (_ALIVE, _NEW) and file.stem not in figures and not self._lives(file.stem):
                file.unlink(missing_ok=True)

    def _ids(self) -> Iterator[str]:
        names = os.listdir(self._directory)
        return (name.removesuffix(_FIGURES) for name in names if name.endswith(_FIGURES))

    def _load(self, other: str) -> Figures | None:
        try:
            return msgspec.msgpack.decode((self._directory / (other + _FIGURES)).read_bytes(), type=Figures)
        except (FileNotFoundError, msgspec.DecodeError):  # added to the retired just now; written by another release
            return None

    def _retired(self) -> Retired:
        try:
            return msgspec.msgpack.decode((self._directory / _RETIRED).read_bytes(), type=Retired)
        except (FileNotFoundError, msgspec.DecodeError):
            return Retired()

    def _stamp(self) -> tuple[int, int]:
        try:
            found = os.stat(self._directory / _RETIRED)
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def _replace(self, name: str, content: Figures | Retired) -> None:
        fresh = self._directory / (self.id + _NEW)
        try:
            fresh.write_bytes(msgspec.msgpack.encode(content))
            os.replace(fresh, self._directory / name)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
