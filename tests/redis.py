"""A private Redis for tests: in a temporary folder, on a free port of the loopback, stopped at the end."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.postgres import LOOPBACK, free_port, free_ports

START_SECONDS = 60.0
CALM = 0.02


def program(name: str) -> str:
    """The path of a program. Raises RuntimeError with what to install when there is none."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"There is no {name} here. Run scripts/system-packages test.")
    return found


class Server:
    """One server. `options` are settings as name and value, one after the other; with `tls` it speaks nothing else.

    On another `host` than the loopback, where the command `within` starts it, everybody who reaches it is let in.
    """

    def __init__(
        self,
        *options: str,
        port: int = 0,
        scheme: str = "redis",
        tls: bool = False,
        host: str = LOOPBACK,
        within: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ramet-redis-"))
        self.port = port or free_port()
        self.host = host
        self.url = f"{scheme}://{host}:{self.port}/0"
        self._within = within
        self._options = options if host == LOOPBACK else ("--protected-mode", "no", *options)
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Starts and waits until it listens; with what it had if it has saved that."""
        listening = ["--port", "0", "--tls-port", str(self.port)] if self._tls else ["--port", str(self.port)]
        place = ["--bind", self.host, "--dir", str(self.folder), "--save", ""]
        line = [*self._within, program("redis-server"), *listening, *place]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*line, *self._options], stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError):
                socket.create_connection((self.host, self.port)).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(CALM)  # waits: for the server to listen, at most START_SECONDS

    def stop(self) -> None:
        """Ends it at once; what it has not saved is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None

    def restart(self) -> None:
        """Ends it and starts it again on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It takes connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on, if it runs at all."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str, options: Sequence[str] = ()) -> str:
        """What redis-cli prints."""
        line = [program("redis-cli"), "-h", self.host, "-p", str(self.port), *options, *words]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=START_SECONDS).stdout.strip()

    def remove(self) -> None:
        """Ends it and removes all it has."""
        self.thaw()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """Three servers that share the keys among them."""

    def __init__(self) -> None:
        ports = free_ports(6)
        self.servers = [_node(*pair) for pair in zip(ports[:3], ports[3:], strict=True)]
        self.url = f"redis+cluster://127.0.0.1:{self.servers[0].port}"

    def start(self) -> None:
        """Starts them and waits until all slots are served."""
        for server in self.servers:
            server.start()
        addresses = [f"127.0.0.1:{server.port}" for server in self.servers]
        line = [program("redis-cli"), "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
        subprocess.run(line, check=True, capture_output=True, timeout=START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while not all("cluster_state:ok" in server.command("cluster", "info") for server in self.servers):
            assert time.monotonic() < deadline
            time.sleep(CALM)  # waits: for the servers to agree, at most START_SECONDS

    def remove(self) -> None:
        """Ends them and removes all they have."""
        for server in self.servers:
            server.remove()


def _node(port: int, bus: int) -> Server:
    """One that talks to the others on a port of its own: by itself that would be beyond the last."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "15000", "--cluster-port", str(bus))
    return Server(*options, port=port)
