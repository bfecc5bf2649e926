"""The parent of N worker processes that serve one port. It imports little, holds no connection and does no work itself.

Each worker has a listening socket of its own (SO_REUSEPORT), so that the kernel spreads connections evenly; with one
shared socket, a burst of eight connections was measured to land on one worker of two. The parent holds the sockets
too: what is queued when a worker dies waits for its successor. A worker that keeps failing loses its socket until it
starts again, so that no new connections wait for it while others serve.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from ramet.errors import SettingsError
from ramet.settings import Settings
from ramet.topology.single.handover import read_settings, settings_pipe
from ramet.topology.single.listener import claim, listen, say, url_of

STABLE = 10.0
"""Seconds of service after which a worker's end is no longer taken for a failure to start."""
ATTEMPTS = 5
"""Failures in a row after which the supervisor gives up, unless another worker serves."""
LONGEST_WAIT = 2.0
"""Seconds for which new connections may wait for the only worker; before a longer delay they are refused."""

_RELOAD = 0  # in the wake-up pipe, among the numbers of signals


class _Worker:
    """One place for a worker process."""

    __slots__ = ("due", "failures", "listener", "process", "ready", "ready_pipe", "started", "told")

    def __init__(self, listener: socket.socket) -> None:
        self.listener: socket.socket | None = listener
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_pipe = -1
        self.ready = False
        self.failures = 0
        self.started = 0.0
        self.due: float | None = 0.0
        self.told = False

    @property
    def serves(self) -> bool:
        return self.process is not None and self.ready

    def end(self, number: int = signal.SIGTERM) -> None:
        """Tell the process to stop, once."""
        if self.process is not None and not self.told:
            self.told = True
            if not self.ready:  # while modules are imported, what SIGINT raises can be lost, in a callback of a lock
                self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(number)


class Supervisor:
    """Starts `settings.workers` processes that serve the application `reference`, and keeps them running.

    The first restart is at once, further ones after `backoff` seconds (the first delay and the longest), doubled each
    time. With `persist` a worker that cannot start waits for `reload` instead. Raises SettingsError when the port
    cannot be used.
    """

    def __init__(
        self,
        reference: str,
        settings: Settings,
        *,
        backoff: tuple[float, float] = (0.5, 30.0),
        persist: bool = False,
        ready: Callable[[str], None] | None = None,
    ) -> None:
        self._reference = reference
        self._settings = settings
        self._backoff = backoff
        self._persist = persist
        self._ready = ready or self._announce
        listen(settings.host, settings.port).close()  # refused when another server has the port; workers may share it
        first = listen(settings.host, settings.port, shared=True)
        try:
            self._claim = claim(first)
        except SettingsError:
            first.close()
            raise
        self._port: int = first.getsockname()[1]
        self.url = url_of(first)
        self._workers = [_Worker(first)]
        self._workers += [_Worker(self._listen()) for _ in range(settings.workers - 1)]
        self._stale: list[_Worker] = []
        self._lifeline, self._held = os.pipe()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._stopping = False
        self._code = 0
        self._deadline = 0.0
        self._served = False

    def reload(self) -> None:
        """Replace every worker, one after the other. May be called from any thread."""
        os.write(self._wake, bytes([_RELOAD]))

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT, which are passed on; gives the exit code, 1 when workers cannot start.

        SIGHUP reloads. A second SIGTERM or SIGINT kills the workers.
        """
        wakeup = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        previous = {number: signal.signal(number, _ignore) for number in _SIGNALS}
        try:
            while self._step():
                pass
        finally:
            self._kill()
            signal.set_wakeup_fd(wakeup)
            for number, handler in previous.items():
                signal.signal(number, handler)
            for descriptor in (self._woken, self._wake, self._lifeline, self._held):
                os.close(descriptor)
            self._let_go()
        return self._code

    def _step(self) -> bool:
        """Start what is due, wait for something to happen, and deal with it; False at the end."""
        now = time.monotonic()
        if not self._stopping:
            for worker in self._workers:
                if worker.process is None and worker.due is not None and worker.due <= now:
                    self._start(worker)
        elif not any(worker.process for worker in self._workers):
            return False
        elif now >= self._deadline:
            say("Workers did not stop in time and were killed.")
            self._code = 1
            return False
        pipes = [worker.ready_pipe for worker in self._workers if worker.ready_pipe >= 0]
        readable, _, _ = select.select([self._woken, *pipes], [], [], self._patience(now))
        for worker in self._workers:
            if worker.ready_pipe in readable:
                self._hear(worker)
        if self._woken in readable and not self._on_signals(os.read(self._woken, 512)):
            return False
        self._reap()
        self._replace_stale()
        return True

    def _patience(self, now: float) -> float | None:
        if self._stopping:
            return max(0.0, self._deadline - now)
        waiting = [worker.due for worker in self._workers if worker.process is None and worker.due is not None]
        return max(0.0, min(waiting) - now) if waiting else None

    def _on_signals(self, numbers: Iterable[int]) -> bool:
        for number in numbers:
            if number in {signal.SIGTERM, signal.SIGINT}:
                if self._stopping:
                    self._code = 1
                    return False
                self._stop(number)
            elif number in {signal.SIGHUP, _RELOAD} and not self._stopping:
                self._stale = sorted(self._workers, key=lambda worker: worker.serves)
        return True

    def _start(self, worker: _Worker) -> None:
        if worker.listener is None:
            worker.listener = self._listen()
        settings_read = settings_pipe(self._settings)
        worker.ready_pipe, ready_write = os.pipe()
        inherited = (settings_read, worker.listener.fileno(), ready_write, self._lifeline)
        worker.ready = worker.told = False
        worker.started = time.monotonic()
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "ramet.topology.single.worker", self._reference, *map(str, inherited)],
            stdin=subprocess.DEVNULL,
            pass_fds=inherited,
            process_group=0,  # Ctrl-C reaches the supervisor alone, which passes it on once
        )
        os.close(settings_read)
        os.close(ready_write)

    def _hear(self, worker: _Worker) -> None:
        """A worker has reported that it serves, or has closed the pipe without."""
        worker.ready = bool(os.read(worker.ready_pipe, 256))
        worker.started = time.monotonic()
        os.close(worker.ready_pipe)
        worker.ready_pipe = -1
        if not self._served and all(worker.ready for worker in self._workers):
            self._served = True
            self._ready(self.url)

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.process is None or (code := worker.process.poll()) is None:
                continue
            if worker.ready_pipe >= 0:
                self._hear(worker)
            pid = worker.process.pid
            worker.process = None
            if not self._stopping:
                self._plan_restart(worker, pid, code)

    def _plan_restart(self, worker: _Worker, pid: int, code: int) -> None:
        now = time.monotonic()
        if worker in self._stale:
            self._stale.remove(worker)
            worker.failures, worker.due = 0, now
            return
        worker.failures = 0 if worker.ready and now - worker.started >= STABLE else worker.failures + 1
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        started = "ended" if worker.ready else "could not start"
        if self._persist and not worker.ready:
            worker.due = None
            say(f"The application {started} ({reason}); waiting for a change.")
            return
        others = any(other.serves for other in self._workers)
        never = not self._served and not worker.ready
        if never or (worker.failures >= ATTEMPTS and not others):
            say(f"Worker {pid} {started} ({reason}); giving up.")
            self._code = 1
            self._stop()
            return
        first, longest = self._backoff
        delay = min(longest, first * 2 ** (worker.failures - 2)) if worker.failures > 1 else 0.0
        worker.due = now + delay
        if worker.listener is not None and delay and (others or delay >= LONGEST_WAIT):
            worker.listener.close()
            worker.listener = None
        say(f"Worker {pid} {started} ({reason}); starting another{f' in {delay:g} s' if delay else ''}.")

    def _replace_stale(self) -> None:
        """Stop the next worker to be replaced, once the one before serves again."""
        if self._stopping or not self._stale:
            return
        worker = self._stale[0]
        if worker.process is None:
            self._stale.remove(worker)
            worker.failures, worker.due = 0, time.monotonic()
        elif all(other.serves for other in self._workers if other is not worker):
            worker.end()

    def _stop(self, number: int = signal.SIGTERM) -> None:
        self._stopping = True
        self._deadline = time.monotonic() + self._settings.drain_delay + 2 * self._settings.stop_timeout + 5
        for worker in self._workers:
            if worker.listener is not None:
                worker.listener.close()
            worker.end(number)
        self._let_go()

    def _let_go(self) -> None:
        """Whoever starts from now on has the port as soon as the workers do not listen any more."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.listener is not None:
                worker.listener.close()
            if worker.ready_pipe >= 0:
                os.close(worker.ready_pipe)
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()

    def _listen(self) -> socket.socket:
        return listen(self._settings.host, self._port, shared=True)

    def _announce(self, url: str) -> None:
        say(f"Serving {url} with {len(self._workers)} workers")


def supervise(reference: str, settings: Settings) -> int:
    """Run a supervisor; gives the exit code."""
    return Supervisor(reference, settings).run()


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def _ignore(number: int, frame: object) -> None:
    """Signals are read from the wake-up pipe; a handler must stand for Python to write them there."""


def _main(reference: str, pipe: str) -> int:
    try:
        return Supervisor(reference, read_settings(int(pipe))).run()
    except SettingsError as error:
        say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
