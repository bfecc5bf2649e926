"""Runs wrk against one server and reads what it found. Load goes to loopback only and is bounded in time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPLAY = Path(__file__).with_name("replay.lua")
PATIENCE = 10


class LoadFailed(Exception):
    """wrk did not run, or a server refused, broke or held back what it should have answered."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it is sent. `token` is a bearer token or empty; `body` is JSON or empty."""

    method: str
    path: str
    token: str = ""
    body: bytes = b""

    def raw(self, port: int) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: application/json"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Result:
    """One run: requests answered in `seconds`, their bytes on the wire, and latencies in milliseconds.

    Whoever runs it fills in the processor time in seconds that the server took meanwhile (`busy`), and what programs
    that don't belong to the run took (`others`).
    """

    requests: int
    seconds: float
    bytes: int
    p50: float
    p99: float
    slowest: float
    busy: float = 0.0
    others: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def bytes_each(self) -> float:
        return self.bytes / max(self.requests, 1)


def write_requests(path: Path, requests: Sequence[Request], port: int) -> None:
    """Writes the requests that `replay.lua` sends in turn to `port`."""
    with path.open("wb") as file:
        for request in requests:
            raw = request.raw(port)
            file.write(b"%d\n%b" % (len(raw), raw))


def parse(output: str) -> Result:
    """The result in wrk's output. Raises LoadFailed when it is missing, or when any answer was not a success."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith("{")), "")
    if not line:
        raise LoadFailed(f"wrk printed no result:\n{output}")
    found = json.loads(line)
    wrong = {name: found[name] for name in ("refused", "broken", "timed_out") if found[name]}
    if wrong or not found["requests"]:
        raise LoadFailed(f"of {found['requests']} answers: {wrong or 'none came'}")
    return Result(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        bytes=found["bytes"],
        p50=found["p50"] / 1e3,
        p99=found["p99"] / 1e3,
        slowest=found["slowest"] / 1e3,
    )


def command(requests: Path, port: int, *, connections: int, seconds: float, core: int | None) -> list[str]:
    """The command line of one run, pinned to `core` when there is one to spare."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    flags = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", f"{PATIENCE}s"]
    return [*pinned, "wrk", *flags, "-s", str(REPLAY), f"http://127.0.0.1:{port}", "--", str(requests)]


class Load:
    """A run in the background. `result()` waits for it; leaving the block ends it."""

    def __init__(self, line: Sequence[str], seconds: float) -> None:
        self._deadline = seconds + 2 * PATIENCE
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def result(self) -> Result:
        """Raises LoadFailed when the run doesn't end in time or any answer was not a success."""
        try:
            output, _ = self._process.communicate(timeout=self._deadline)
        except subprocess.TimeoutExpired:
            raise LoadFailed(f"wrk did not end within {self._deadline:.0f} s") from None
        return parse(output)
