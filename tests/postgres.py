"""A private PostgreSQL for tests: in a temporary folder, on a free port of the loopback, stopped at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

USERS = ("postgres", "nobody")
"""Who may run a server when we are root, who may not."""
QUICK = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",
    "autovacuum=off",
    "shared_buffers=64MB",
)
"""For tests that do not pull the plug."""
LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
CALM = 0.05


def programs() -> Path:
    """The folder of the newest server programs. Raises RuntimeError with what to install when there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    path = shutil.which("postgres")
    if path is None:
        raise RuntimeError("There is no PostgreSQL here. Run scripts/system-packages test.")
    return Path(path).parent


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many, no two of them the same."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Server:
    """One server and its folder, or with `port` one that is another's. `options` are settings as NAME=VALUE.

    On another `host` than the loopback, where the command `within` starts it, everybody who reaches it is let in.
    """

    def __init__(self, options: Sequence[str] = QUICK, *, port: int = 0, host: str = LOOPBACK) -> None:
        self.bin = programs()
        self.own = not port
        self.folder = Path(tempfile.mkdtemp(prefix="ramet-pg-"))
        self.data = self.folder / "data"
        self.port = port or free_port()
        self.host = host
        self.within: Sequence[str] = ()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.user = next((name for name in USERS if os.geteuid() == 0 and _exists(name)), None)
        if self.user is not None:
            shutil.chown(self.folder, self.user)

    def create(self) -> None:
        """Makes an empty server of UTF-8 in the C locale."""
        self.run("initdb", "-D", str(self.data), "-U", "ramet", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        if self.host != LOOPBACK:
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all,replication ramet 0.0.0.0/0 trust\n")

    def adopt(self, *files: Path) -> None:
        """Copies files into its data folder, for nobody but its user to read."""
        for file in files:
            copy = self.data / file.name
            shutil.copy(file, copy)
            copy.chmod(0o600)
            if self.user is not None:
                shutil.chown(copy, self.user)

    def replica(self, *options: str, host: str = LOOPBACK, port: int = 0) -> Server:
        """A streaming replica of it, not yet started. `options` come after those that make tests quick."""
        copy = Server([*QUICK, *options], host=host)
        copy.port = port or copy.port
        copy.run("pg_basebackup", "-d", self.url("postgres"), "-D", str(copy.data), "-R", "-X", "stream", "-c", "fast")
        return copy

    def start(self) -> None:
        """Starts and waits until it answers. Raises RuntimeError with its log when it does not."""
        command = [*self.within, str(self.bin / "postgres"), "-D", str(self.data)]
        for option in (
            f"port={self.port}",
            f"listen_addresses={self.host}",
            "unix_socket_directories=",
            *self._options,
        ):
            command += ["-c", option]
        with (self.folder / "log").open("ab") as log:
            user = None if self.within else self.user
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=user, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while self.run("pg_isready", "-q", "-h", self.host, "-p", str(self.port), check=False):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(CALM)  # waits: for the server to answer, at most START_SECONDS

    def processes(self) -> list[int]:
        """The numbers of its processes, that of the first one first. Raises RuntimeError when it is stopped."""
        if self._process is None:
            raise RuntimeError("It does not run.")
        main = self._process.pid
        return [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]

    def stop(self, how: str = "fast") -> None:
        """Stops it: smart, fast or immediate."""
        if self._process is not None:
            self.run("pg_ctl", "stop", "-D", str(self.data), "-m", how, "-w", check=False)
            self._process.wait(START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Ends all its processes at once, as a crash of its host does."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """Stops it and removes all it has."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What a statement prints, without headings."""
        command = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)]
        done = subprocess.run([*command, "-c", statement], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://ramet@{self.host}:{self.port}/{database}"

    def run(self, program: str, *arguments: str, check: bool = True) -> int:
        """Runs one of the server's programs as its user; the exit code."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            user=self.user,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(done.stdout.decode(errors="replace"))
        return done.returncode


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
