"""From granian's threads to the event loop: what can be answered at once is, and what can go on by itself does.

Granian hands each request over by a scheduler, of which it has two of its own. This is a third, on the same base: a
request is begun in the turn of the loop that it comes in with, and becomes a task only if something has to be awaited.
Beyond what granian documents it relies on `CallbackScheduler`, `RSGIWorker` and the order of what `Server.serve`
passes to its `spawn_target`; the tests of the server fail when one of these changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Protocol

from granian._granian import CallbackScheduler, RSGIWorker

from ramet.topology.single.closing import LastAnswer

_Worker: Any = RSGIWorker  # its stub is older than it is


class Underway(Protocol):
    """A request that needs no task: it answers by itself, and then calls `ended`."""

    ended: Callable[[Any], object] | None

    def cancel(self) -> None: ...


Left = Coroutine[Any, Any, None] | Underway
Begin = Callable[[Any, Any], Left | None]
_underway: set[Underway] = set()


class Watcher(Protocol):
    """One request of granian's: its scope, where its answer goes, and how it is told what became of it."""

    scope: Any
    proto: Any

    def done(self) -> None: ...
    def err(self, error: BaseException, /) -> None: ...
    def taskref(self, task: asyncio.Task[None], /) -> None: ...


class Dispatcher(CallbackScheduler):
    """Begins each request on the event loop; `begin` answers it and gives None, or gives what is left of it.

    From `close_connections` on each answer is the last of its connection.
    """

    __slots__ = ("close_connections",)

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Begin, *_unused: None) -> None:
        super().__init__()
        context, call_soon = self._ctx, loop.call_soon_threadsafe
        track, untrack = _underway.add, _underway.discard

        def run(watcher: Watcher) -> None:
            left: Any
            try:
                left = begin(watcher.scope, watcher.proto)
            except BaseException as error:
                watcher.err(error)
                return
            if left is None:
                watcher.done()
            elif isinstance(left, CoroutineType):
                watcher.taskref(loop.create_task(finish(left, watcher)))
            else:
                left.ended = untrack
                track(left)

        def schedule(watcher: Watcher) -> None:
            call_soon(run, watcher, context=context)

        def close_connections() -> None:
            nonlocal begin
            answer = begin
            begin = lambda scope, protocol: answer(scope, LastAnswer(protocol))  # noqa: E731 - it is replaced

        self._schedule_fn = schedule
        self.close_connections = close_connections


async def finish(left: Coroutine[Any, Any, None], watcher: Watcher) -> None:
    """Awaits what is left of a request."""
    try:
        await left
    except BaseException as error:
        watcher.err(error)
        return
    watcher.done()


def in_flight() -> set[asyncio.Task[Any] | Underway]:
    """The requests being handled. Most are tasks, so keeping count costs them nothing."""
    tasks = {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "cr_code", None) is finish.__code__}
    return tasks | _underway


async def run_worker(
    started: Callable[[Dispatcher], None], number: int, stop: Any, begin: Begin, sock: Any, *options: Any
) -> None:
    """Serves until `stop` is set; `started` is told what dispatches.

    Without `started` it is the `spawn_target` of granian's server, which gives `options` in its order.
    """
    loop = asyncio.get_running_loop()
    *threads, _task_impl, http, http1, http2, websockets, static, _log, tls, _scope = options
    stopped = loop.create_future()
    stop.add_cb(lambda: loop.call_soon_threadsafe(stopped.set_result, None))
    worker: Any = _Worker(number, sock, None, *threads, http, http1, http2, websockets, static, *tls, (None, None))
    dispatcher = Dispatcher(loop, begin, None, None, None)
    started(dispatcher)
    worker.serve_async(dispatcher, loop, stop)
    await stopped
