"""A private nginx for tests, and servers behind it that do as they are told and count what reaches them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ramet.settings import Settings
from ramet.topology.nginx.configuration import configuration
from ramet.topology.nginx.front import Front
from tests.postgres import free_port

START_SECONDS = 60.0


class Balancer:
    """One nginx in front of `upstreams`. `front` are options besides where it listens and writes."""

    def __init__(self, upstreams: Sequence[str], settings: Settings | None = None, **front: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ramet-nginx-"))
        self.folder.chmod(0o755)  # its workers are not root
        self.port = free_port()
        self.log = self.folder / "access.log"
        given = Front(
            upstreams=tuple(upstreams),
            hosts=("127.0.0.1",),
            port=self.port,
            access_log=str(self.log),
            error_log=str(self.folder / "error.log"),
            pid=str(self.folder / "nginx.pid"),
            temporary=str(self.folder),
            workers=1,
            **front,
        )
        self.file = self.folder / "nginx.conf"
        self.file.write_text(configuration(given, settings or Settings(limits=False)))
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *options: str) -> list[str]:
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        error_log = str(self.folder / "error.log")
        return [program, "-p", str(self.folder), "-c", str(self.file), "-e", error_log, *options]

    def start(self) -> None:
        """Starts, and waits until it listens."""
        self._process = subprocess.Popen(self.command("-g", "daemon off;"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            assert self._process.poll() is None, self.errors()
            assert time.monotonic() < deadline, self.errors()
            time.sleep(0.02)  # waits: for nginx to listen, at most START_SECONDS

    def check(self) -> subprocess.CompletedProcess[str]:
        """What `nginx -t` says of its configuration."""
        return subprocess.run(self.command("-t"), capture_output=True, text=True, check=False)

    def lines(self, count: int) -> list[dict[str, Any]]:
        """Its access log, once it has so many lines."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = self.log.read_bytes().splitlines() if self.log.exists() else []
            if len(found) >= count:
                return [msgspec.json.decode(line) for line in found]
            assert time.monotonic() < deadline, found
            time.sleep(0.02)  # waits: for nginx to write its log, at most START_SECONDS

    def errors(self) -> str:
        return (self.folder / "error.log").read_text()

    def remove(self) -> None:
        """Stops it and removes all it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def balanced(upstreams: Sequence[str], settings: Settings | None = None, **front: Any) -> Iterator[Balancer]:
    """A running nginx."""
    balancer = Balancer(upstreams, settings, **front)
    try:
        balancer.start()
        yield balancer
    finally:
        balancer.remove()


class Received(NamedTuple):
    """A request as a server behind nginx got it, with lower-case names of headers."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Origin:
    """Answers each request with `answer` (a whole response); an empty one is a connection that ends instead."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") -> None:
        self.answer = answer
        self.received: list[Received] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        self.left = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def opened(self) -> int:
        """Connections so far; `left` are those that nginx has ended."""
        return len(self._connections)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as file:
            while line := file.readline().decode():
                method, target, _ = line.split()
                headers: dict[str, str] = {}
                while line := file.readline().decode().strip():
                    name, _, value = line.partition(": ")
                    assert name.lower() not in headers, f"{name} came twice"
                    headers[name.lower()] = value
                body = file.read(int(headers.get("content-length", "0")))
                self.received.append(Received(method, target, headers, body))
                connection.sendall(self.answer)
                if not self.answer or b"Content-Length: 99" in self.answer:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
            self.left += 1


@contextmanager
def origins(*answers: bytes) -> Iterator[list[Origin]]:
    """Servers with these answers."""
    found = [Origin(answer) for answer in answers]
    try:
        yield found
    finally:
        for origin in found:
            origin.close()


def unused() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"
