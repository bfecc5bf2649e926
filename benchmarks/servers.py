"""Starts servers on one core, waits until they answer, weighs them, stops them. Linux: reads /proc."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """A server did not start, or died; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the server and the load run. `load` is None on a machine with one core: nothing is pinned then."""

    server: int
    load: int | None

    @classmethod
    def available(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1] if len(cores) > 1 else None)

    def swapped(self) -> Cores:
        """For servers that share the core of the load with it."""
        return self if self.load is None else Cores(self.load, self.server)


@dataclass(frozen=True, slots=True)
class Weight:
    """Memory of all processes of a server, in bytes. `shared_once` is the PSS, `resident` the RSS."""

    processes: int
    resident: int
    shared_once: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor_time() -> float:
    """What all programs of the machine have taken so far, in seconds of one core; waiting and stolen time left out."""
    user, nice, system, _, _, interrupts, soft, *_ = (
        int(field) for field in Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + interrupts + soft) / TICKS


class Server:
    """One server process with its children. Its output, access log included, goes to the file `log`."""

    def __init__(self, command: Sequence[str], port: int, log: Path, env: Mapping[str, str], cores: Cores) -> None:
        self.port = port
        self.log = log
        self._line = " ".join(command)
        pinned = ["taskset", "-c", str(cores.server)] if cores.load is not None else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*pinned, *command],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, **env},
                start_new_session=True,
            )

    def wait(self, path: str = "") -> None:
        """Returns once `path` answers 200, or without a path the port is open.

        Raises ServerFailed when the process ends or takes too long.
        Whatever is raised, nothing is left running: the caller has no server yet to stop.
        """
        try:
            self._wait(path)
        except BaseException:
            self.stop()
            raise

    def _wait(self, path: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerFailed(f"{self._line} ended with {self._process.returncode}:\n{self._tail()}")
            with suppress(OSError, http.client.HTTPException):
                if not path:
                    socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                    return
                if self._status(path) == 200:
                    return
            time.sleep(0.05)
        raise ServerFailed(f"{self._line} did not answer {path}:\n{self._tail()}")

    def _status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def _tail(self) -> str:
        return self.log.read_bytes()[-4000:].decode(errors="replace")

    def busy(self) -> float:
        """Processor time of all its processes so far, in seconds."""
        return sum(_processor_time(pid) for pid in _session(self._process.pid))

    def processes(self) -> list[int]:
        """The ids of all its processes."""
        return _session(self._process.pid)

    def weigh(self) -> Weight:
        """The memory of every process of this server's session."""
        rolls = [roll for pid in _session(self._process.pid) if (roll := _rollup(pid))]
        return Weight(len(rolls), sum(roll["Rss"] for roll in rolls), sum(roll["Pss"] for roll in rolls))

    def log_lines(self, at_least: int, within: float = 5.0) -> int:
        """Lines in the log, once there are `at_least` that many or `within` seconds have passed."""
        deadline = time.monotonic() + within
        while True:
            with self.log.open("rb") as file:
                lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
            if lines >= at_least or time.monotonic() > deadline:
                return lines
            time.sleep(0.1)

    def empty_log(self) -> None:
        """The server appends, so it goes on at the start."""
        os.truncate(self.log, 0)

    def stop(self) -> None:
        """Asks the server to stop; ends what is left of its session when it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
        for pid in _session(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _session(leader: int) -> list[int]:
    """The living processes of a session; each server has its own."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) and int(stat[3]) == leader and stat[0] != "Z"]


def family_time(parent: int) -> float:
    """Processor time of a process and its children, those that have ended among them, in seconds."""
    stats = [(int(entry.name), _stat(int(entry.name))) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    own = next((stat for pid, stat in stats if pid == parent), [])
    children = sum(int(stat[11]) + int(stat[12]) for _, stat in stats if stat and int(stat[1]) == parent)
    return (children + sum(map(int, own[11:15]))) / TICKS


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third, `state`, on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _processor_time(pid: int) -> float:
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS if stat else 0.0


def _rollup(pid: int) -> dict[str, int]:
    """Sizes in bytes by their name in smaps_rollup; empty when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    sizes = (line.split() for line in lines)
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in sizes}
