"""What a topology keeps between its runs: data, ports, passwords and logs, in one folder of the project."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
from pathlib import Path

import msgspec

from ramet.errors import SettingsError

NAME = ".ramet"
LOG_LIMIT = 33_554_432
"""Bytes of a log after which it is begun anew; the one before is kept."""


class Kept(msgspec.Struct):
    """What is remembered: `ports` by part."""

    password: str
    ports: dict[str, int] = {}


class Folder:
    """Held by one topology at a time. Files in it are for its owner, and parts that run as `account`, to read.

    Raises SettingsError when another topology has it, or it cannot be used.
    """

    def __init__(self, path: Path, account: str | None) -> None:
        self.path = path.absolute()
        self.account = account
        try:
            self.path.mkdir(mode=0o711 if account else 0o700, parents=True, exist_ok=True)
            self._lock = _locked(self.path / "lock")
        except BlockingIOError as taken:
            raise SettingsError(
                f"A topology runs in {path} already (process {taken.strerror or 'unknown'}). Stop it first, replace "
                "its instances with `ramet roll`, or choose another folder with --folder."
            ) from None
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}. Choose another folder with --folder.") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        (self.path / ".gitignore").write_text("*\n")
        self.logs = self.own("logs")
        self._file = self.path / "kept.json"
        self._kept = self._read()

    def close(self) -> None:
        """Lets another topology have it."""
        (self.path / "lock").unlink(missing_ok=True)
        os.close(self._lock)

    @property
    def password(self) -> str:
        """Of the servers: made at the first start, known to who may read the folder."""
        return self._kept.password

    def own(self, name: str, account: str | None = None) -> Path:
        """A folder in it, whose owner is the account, for nobody else to look into."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            shutil.chown(path, account)
        return path

    def write(self, path: Path, text: str, account: str | None = None) -> Path:
        """A file for its owner alone."""
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if account is not None:
            shutil.chown(path, account)
        return path

    def port(self, part: str) -> int:
        """The port that a part had before, if it is free, else another one, which is remembered."""
        port = self._kept.ports.get(part, 0)
        if not (port and is_free(port)):
            taken = set(self._kept.ports.values())
            port = free_port()
            while port in taken:
                port = free_port()
            self._kept.ports[part] = port
            self._save()
        return port

    def _read(self) -> Kept:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            self._kept = Kept(secrets.token_urlsafe(24))
            self._save()
            return self._kept

    def _save(self) -> None:
        self.write(self._file, msgspec.json.encode(self._kept).decode())


def _locked(path: Path) -> int:
    """The file, locked, which its last holder has not removed just now.

    Raises BlockingIOError, with what stands in the file, while another process has it, and OSError.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.pread(file, 20, 0).decode(errors="replace").strip()
            os.close(file)
            raise BlockingIOError(error.errno, holder) from None
        os.close(file)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def turn_over(log: Path) -> None:
    """Begins a log anew that has become too long; whoever writes it appends."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8_192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
