"""Network namespaces joined by a router, in which any two can be cut off from each other without either hearing of it.

Packets that are not to arrive are dropped by the router on their way, as by a broken cable: a route that drops them
where they are sent would give the sender an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TEST = "test"
"""The namespace of the test itself: the one it was started in."""


def impossible() -> str:
    """Why there can be no namespaces here; empty when there can."""
    if shutil.which("ip") is None:
        return "There is no `ip` here: run scripts/system-packages test."
    if os.geteuid():
        return "Network namespaces need root."
    name = f"probe{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"Network namespaces are not allowed here: {done.stderr.strip()}"
    _ip("netns", "delete", name)
    return ""


class Network:
    """One namespace for each name, which is a host with an address."""

    def __init__(self, names: Sequence[str]) -> None:
        self._mark = f"r{os.getpid() % 100_000}"
        self._router = f"{self._mark}-router"
        self._names = (TEST, *names)
        self._cut: list[tuple[str, str]] = []
        # A range of the machine's own for each run: two at a time must not meet.
        self._range = f"10.{200 + os.getpid() % 50}"

    def address(self, name: str) -> str:
        return f"{self._range}.{self._names.index(name)}.2"

    def inside(self, name: str, user: str | None = None) -> list[str]:
        """What a command begins with that runs as this host, and as this user."""
        enter = ["ip", "netns", "exec", f"{self._mark}-{name}"]
        return enter if user is None else [*enter, "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]

    def make(self) -> None:
        """Makes it. Raises RuntimeError when the system refuses."""
        _ip("netns", "add", self._router)
        _ip("netns", "exec", self._router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        for number, name in enumerate(self._names):
            here, there = f"{self._mark}h{number}", f"{self._mark}r{number}"
            near, far = f"{self._range}.{number}.2", f"{self._range}.{number}.1"
            if name != TEST:
                _ip("netns", "add", f"{self._mark}-{name}")
            _ip("link", "add", here, "type", "veth", "peer", "name", there)
            _ip("link", "set", there, "netns", self._router)
            _ip("-n", self._router, "address", "add", f"{far}/30", "dev", there)
            _ip("-n", self._router, "link", "set", there, "up")
            place: list[str] = []
            if name != TEST:
                place = ["-n", f"{self._mark}-{name}"]
                _ip("link", "set", here, "netns", f"{self._mark}-{name}")
                _ip(*place, "link", "set", "lo", "up")
            _ip(*place, "address", "add", f"{near}/30", "dev", here)
            _ip(*place, "link", "set", here, "up")
            _ip(*place, "route", "add", f"{self._range}.0.0/16", "via", far)

    def remove(self) -> None:
        """Takes everything away. What runs in it is to be ended before."""
        for number in range(len(self._names)):
            _ip("link", "delete", f"{self._mark}h{number}", check=False)
            _ip("-n", self._router, "link", "delete", f"{self._mark}r{number}", check=False)
        for name in (*self._names[1:], "router"):
            _ip("netns", "delete", f"{self._mark}-{name}", check=False)

    @contextmanager
    def cut(self, one: str, other: str) -> Iterator[None]:
        """Two hosts hear nothing of each other any more."""
        ways = [(one, other), (other, one)]
        for source, target in ways:
            self._rule("add", source, target)
        try:
            yield
        finally:
            for source, target in ways:
                self._rule("delete", source, target)

    def _rule(self, what: str, source: str, target: str) -> None:
        ends = ("from", self.address(source), "to", self.address(target))
        _ip("-n", self._router, "rule", what, *ends, "type", "blackhole", "priority", "10")


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """A network of these hosts beside the test's own."""
    made = Network(names)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def left_over() -> list[str]:
    """Namespaces of this process that are still there."""
    mark = f"r{os.getpid() % 100_000}-"
    folder = Path("/run/netns")
    return [path.name for path in folder.iterdir() if path.name.startswith(mark)] if folder.exists() else []


def _ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
