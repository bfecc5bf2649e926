"""One process that serves one port: granian, embedded in our own event loop, over RSGI.

Granian's pitfalls that are dealt with here, each held by a test: it listens with SO_REUSEPORT, so a second server
would silently share the port (we bind ourselves); its backpressure counts connections, idle ones too, and is 128 unless
set; out of file descriptors it spins (we raise the limit and bound connections below it); a connection accepted in the
moment of stopping is not told to close, and one that has sent half a request is waited for (both are bounded); a
stop drops WebSockets, and leaves who handles them waiting (they are cancelled); a stop closes idle connections on which
a request may be coming (before it, each answer ends its connection, for `drain_delay` seconds), and those that were
accepted just now (before it, none are accepted any more, and those have `HEARING` seconds to send something).
Hyper, below it, answers 400, 414 and 431 by itself, with empty bodies, before a request reaches us.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from ramet.settings import Settings
from ramet.topology.loading import Application
from ramet.topology.single.arrivals import Arrivals
from ramet.topology.single.dispatch import Dispatcher, in_flight, run_worker
from ramet.topology.single.listener import BACKLOG, listen, open_up, say, url_of

HEADER_BUFFER = 65_536
"""Bytes of a request before its body; beyond them hyper answers 431, and 414 for an address alone."""
QUIET = 5.0
"""Seconds a stopping process waits for connections on which nothing is being handled any more."""
HEARING = 0.5
"""Seconds a stopping process waits at most for the first request of a connection that it has accepted."""

YOUNG = 20_000
"""New objects after which Python looks for cycles among them: more than requests in flight hold."""

_RESERVED_FILES = 256  # descriptors for databases, logs and outgoing connections
_LOGGING = {"incremental": True, "formatters": {}, "handlers": {}, "loggers": {}}  # granian's default resets logging


def serve(
    load: Callable[[], Application],
    settings: Settings,
    *,
    listener: socket.socket | None = None,
    ready: Callable[[str], None] | None = None,
    lifeline: int | None = None,
) -> int:
    """Run the application until SIGTERM or SIGINT; gives the exit code.

    `listener` is used instead of `settings.host` and `port`. `ready` is told the URL once connections are accepted.
    The process also stops when the pipe `lifeline` is closed at its other end. What loading, configuring and starting
    raise passes through, and so does SettingsError. SIGTERM leaves load balancers `drain_delay` to learn of it; SIGINT
    does not. A second signal ends the process at once, unless there is a lifeline: service managers signal parents and
    workers alike, so there the parent decides.
    """
    _raise_file_limit()
    if settings.take_turns:
        take_turns()
    bound = listener or listen(settings.host, settings.port)
    try:
        app = load()
        app.configure(settings)
        uvloop.run(_Process(app, settings, bound, ready or _announce, lifeline).run())
    finally:
        bound.close()
    return 0


class _Process:
    """One run of an application, from its start to its end."""

    def __init__(
        self,
        app: Application,
        settings: Settings,
        listener: socket.socket,
        ready: Callable[[str], None],
        lifeline: int | None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._listener = listener
        self._ready = ready
        self._lifeline = lifeline
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._dispatchers: list[Dispatcher] = []

    async def run(self) -> None:
        """Start, serve and stop. When something does not end in time, the process ends here."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        if self._lifeline is not None:
            loop.add_reader(self._lifeline, self._on_lifeline, self._lifeline)
        starting = asyncio.ensure_future(self._app.startup())
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=self._settings.stop_timeout)
                if not starting.done():
                    say("The application did not stop in time and was left.")
                    _leave(0)
            if not starting.cancelled():
                starting.result()
                await self._serve(stop)
        finally:
            stop.cancel()

    async def _serve(self, stop: asyncio.Future[Any]) -> None:
        gc.collect()
        gc.set_threshold(YOUNG)
        gc.freeze()  # what lives as long as the process is not searched for garbage again and again
        url = url_of(self._listener)
        open_up(self._listener)
        arrivals = Arrivals(self._listener)
        server = EmbeddedServer(self._app, self._listener, self._settings)
        serving = asyncio.ensure_future(server.serve(partial(run_worker, self._dispatchers.append)))  # type: ignore[arg-type]  # it is awaited
        self._ready(url)
        await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
        await self._drain()
        await self._hear_out(arrivals)
        server.stop()  # type: ignore[no-untyped-call]  # granian does not annotate it
        in_time = await self._finish(serving)
        try:
            async with asyncio.timeout(self._settings.stop_timeout):
                await self._app.shutdown()
        except TimeoutError:
            say("The application did not stop in time and was left.")
            in_time = False
        if not in_time:
            _leave(0)  # granian's threads still hold connections, and would go on after the interpreter

    async def _drain(self) -> None:
        """Whoever sends requests is told to send no more, and given time to learn it.

        Long streams end before the server stops: it would drop WebSockets without a word.
        """
        for dispatcher in self._dispatchers:
            dispatcher.close_connections()
        unaware = in_flight()
        try:
            async with asyncio.timeout(self._settings.stop_timeout):
                await self._app.drain()
        except TimeoutError:
            say("Streams did not end in time and were left.")
        await self._outlast(unaware)

    async def _outlast(self, unaware: set[Any]) -> None:
        """Wait `drain_delay` from the last answer that left its connection open, which those to `unaware` do."""
        clock, delay = asyncio.get_running_loop().time, self._settings.drain_delay
        end = clock() + delay
        latest = end + self._settings.stop_timeout
        while (left := min(end, latest) - clock()) > 0 and await self._may_wait(min(left, 0.05)):
            if unaware != (unaware := unaware & in_flight()):
                end = clock() + delay

    async def _hear_out(self, arrivals: Arrivals) -> None:
        """Accept no more, and wait for the first request of those whose other side cannot know yet that this stops."""
        clock = asyncio.get_running_loop().time
        end = clock() + HEARING
        while arrivals.queued() and clock() < end and await self._may_wait(0.01):
            pass
        arrivals.stop()
        silent = arrivals.unheard() if await self._may_wait(0.01) else set()  # by then none is just being accepted
        while silent and clock() < end and await self._may_wait(0.01):
            silent = arrivals.unheard(silent)

    async def _may_wait(self, seconds: float) -> bool:
        """Wait, unless there is a hurry."""
        try:
            async with asyncio.timeout(seconds):
                return not await self._hurry.wait()
        except TimeoutError:
            return True

    async def _finish(self, serving: asyncio.Future[None]) -> bool:
        """Wait for what is in flight, at most `stop_timeout`; whether all connections have ended."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline, quiet_since = now + self._settings.stop_timeout, now
        while not serving.done() and now < deadline and now < quiet_since + QUIET:
            await asyncio.wait({serving}, timeout=0.05)
            now = loop.time()
            if in_flight():
                quiet_since = now
        unfinished = in_flight()
        if not serving.done() and unfinished:
            say(f"Requests cut off because they did not finish in time: {len(unfinished)}.")
        for task in unfinished:  # after a stop in time too: granian ends WebSockets without telling who handles them
            task.cancel()
        if unfinished:
            tasks = {task for task in unfinished if isinstance(task, asyncio.Task)}
            await asyncio.wait({*tasks, serving}, timeout=1.0)
        if serving.done():
            serving.result()
            if not self._stop.is_set():
                raise RuntimeError("the embedded server has ended by itself")
        return serving.done()

    def _on_signal(self, number: int) -> None:
        if self._stop.is_set() and self._lifeline is None:
            _leave(1)
        if number == signal.SIGINT:
            self._hurry.set()
        self._stop.set()

    def _on_lifeline(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self._hurry.set()
        self._stop.set()


class EmbeddedServer(Server):
    """Granian on a bound socket of ours, which it takes over, in the running event loop."""

    def __init__(self, app: Application, listener: socket.socket, settings: Settings) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        super().__init__(
            getattr(app, "begin", app.__rsgi__),
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            backlog=BACKLOG,
            backpressure=max(16, min(settings.connection_limit, files - files // 2 - _RESERVED_FILES)),  # see `upgrade`
            websockets=False,  # they are requests like others; see ramet.interfaces.transport.upgrade
            http1_settings=HTTP1Settings(
                header_read_timeout=int(settings.idle_timeout * 1000), max_buffer_size=HEADER_BUFFER
            ),
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._shd: Any = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg]  # stub is older


def _announce(url: str) -> None:
    say(f"Serving {url}")


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def take_turns() -> None:
    """Lets threads that wake up wait until the running one pauses, where that is the system's to choose.

    A request passes through three threads, only one of which can run Python. When each wakes the next at once, they
    push each other from the core for every single request; so they take what has gathered meanwhile, in one go. It
    nearly halves the processor time of a request. Beside other busy programs on the same core it costs some
    milliseconds of waiting. A policy that somebody has chosen for this process stays.
    """
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or not permitted
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
