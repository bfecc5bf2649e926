"""Real processes and sockets, with a deadline on everything that is waited for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from ramet.settings import Settings
from ramet.topology.single.server import HEARING

DEADLINE = 60.0
ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
PLAIN = str(Path(__file__).parent / "apps" / "plain.py")
LEDGER = str(Path(__file__).parent / "apps" / "ledger.py")
RAMET = str(Path(sys.executable).with_name("ramet"))


class Running:
    """A process of ours, in a folder of its own; what it writes is kept line by line."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        inherited: tuple[int, ...] = (),
        variables: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONDONTWRITEBYTECODE": "1", **(variables or {})}
        self.process = subprocess.Popen(
            [*within, sys.executable, *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=inherited,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def says(self, text: str, *, times: int = 1) -> str:
        """The line, once this text was written so often."""
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while len(found := [line for line in self.lines if text in line]) < times:
                left = deadline - time.monotonic()
                assert left > 0, f"{text!r} was not written:\n{self.text}"
                assert self.process.poll() is None or self._reader.is_alive(), f"ended without {text!r}:\n{self.text}"
                self._changed.wait(min(left, 0.2))
            return found[times - 1]

    def port(self) -> int:
        """The port, once it serves."""
        return int(self.says("Serving http://").split("http://127.0.0.1:")[1].split()[0].rstrip(";"))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """The exit code, once it has ended by itself."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def kill(self) -> None:
        """Kill it and its workers, which have process groups of their own."""
        for child in children(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Kill it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(folder: Path, *, quiet: float = 5.0, hearing: float = 0.5, **settings: Any) -> Iterator[Running]:
    """The plain application in one process."""
    given = msgspec.json.encode(Settings(**{"port": 0, **settings})).decode()
    running = Running(["-m", "tests.process.serve_one", PLAIN, given, str(quiet), str(hearing)], folder)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def supervising(folder: Path, app: str = PLAIN, **settings: Any) -> Iterator[Running]:
    """An application in several processes."""
    reading, writing = os.pipe()
    os.write(writing, msgspec.json.encode(Settings(**{"port": 0, **settings})))
    os.close(writing)
    running = Running(["-m", "ramet.topology.single.supervisor", app, str(reading)], folder, (reading,))
    os.close(reading)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def running(command: list[str], folder: Path, within: Sequence[str] = (), **settings: Any) -> Iterator[Running]:
    """A command, with settings in its environment: without rate limits and access log unless told otherwise.

    `within` is what it is started by, such as another network.
    """
    chosen = {"limits": False, "access_log": False, **settings}
    started = Running(
        command,
        folder,
        variables={f"RAMET_{name.upper()}": str(value) for name, value in chosen.items()},
        within=within,
    )
    try:
        yield started
    finally:
        started.kill()


def ramet_serve(folder: Path, *options: str, app: str = LEDGER, **settings: Any) -> AbstractContextManager[Running]:
    """`ramet serve APP --port 0`, as a person starts it."""
    return running([RAMET, "serve", app, "--port", "0", *options], folder, **settings)


class Connection:
    """One TCP connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> dict[str, str]:
        """The status (as "") and the headers of the next answer, whose body is still to be read."""
        line = self.file.readline().decode()
        assert line, "the connection was closed instead of an answer"
        headers = {"": line.split()[1]}
        while (line := self.file.readline().decode().rstrip("\r\n")) != "":
            name, _, value = line.partition(": ")
            headers[name] = value
        return headers

    def get(self, path: str) -> dict[str, str]:
        """Ask on this connection, and keep it."""
        self.ask(path)
        return self.answer()

    def ask(self, path: str) -> None:
        """Send a request without a body."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def answer(self) -> dict[str, str]:
        """The head of the next answer, whose body is read."""
        headers = self.head()
        self.file.read(int(headers["content-length"]))
        return headers

    def begin(self, path: str) -> None:
        """Send a request without its body of three bytes; returns when it is being handled."""
        self.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
        assert self.head()[""] == "100"

    def closed(self) -> bool:
        """Waits until the server closes; False when it sends something instead."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def get(port: int, path: str = "/") -> dict[str, str]:
    """Ask on a connection of its own.

    A process that stops waits only so long for the first request: who was held up before it had asked does so anew.
    """
    while True:
        began, asked = time.monotonic(), float("inf")
        with Connection(port) as connection:
            try:
                connection.ask(path)
                asked = time.monotonic()
                return connection.answer()
            except (AssertionError, ConnectionError):
                if asked - began < HEARING / 2:
                    raise


def refuses(port: int) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds, at most DEADLINE."""
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
