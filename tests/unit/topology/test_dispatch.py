"""Granian's requests on the event loop: answered at once, or by a task that counts as one in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ramet.topology.single.dispatch import Begin, Dispatcher, in_flight


class Watched:
    """A request as granian hands it over."""

    scope = "scope"
    proto = "proto"

    def __init__(self) -> None:
        self.told: list[object] = []
        self.tasks: list[asyncio.Task[None]] = []

    def done(self) -> None:
        self.told.append("done")

    def err(self, error: BaseException) -> None:
        self.told.append(error)

    def taskref(self, task: asyncio.Task[None]) -> None:
        self.tasks.append(task)


async def hand_over(begin: Begin) -> Watched:
    loop = asyncio.get_running_loop()
    schedule: Callable[[Watched], None] = []  # type: ignore[assignment]  # found below

    class Seen(Dispatcher):
        @property
        def _schedule_fn(self) -> Any:
            return None

        @_schedule_fn.setter
        def _schedule_fn(self, function: Any) -> None:
            nonlocal schedule
            schedule = function

    Seen(loop, begin, None, None, None)
    watched = Watched()
    await loop.run_in_executor(None, schedule, watched)
    await asyncio.sleep(0)
    return watched


async def test_what_is_answered_at_once_becomes_no_task() -> None:
    seen: list[object] = []

    def begin(scope: Any, proto: Any) -> None:
        seen.append((scope, proto))

    watched = await hand_over(begin)
    assert seen == [("scope", "proto")]
    assert watched.told == ["done"]
    assert watched.tasks == []


async def test_what_is_left_is_a_task_in_flight_until_it_is_done() -> None:
    go = asyncio.Event()

    async def finish() -> None:
        """Of the same name as what dispatches, and no request."""
        await go.wait()

    async def left() -> None:
        await go.wait()

    def begin(_scope: Any, _proto: Any) -> Coroutine[Any, Any, None]:
        return left()

    other = asyncio.create_task(finish())
    watched = await hand_over(begin)
    await asyncio.sleep(0)
    assert in_flight() == set(watched.tasks)
    go.set()
    await asyncio.gather(other, *watched.tasks)
    assert watched.told == ["done"]
    assert in_flight() == set()


async def test_errors_are_told_wherever_they_arise() -> None:
    error = ValueError("no")

    def fails(_scope: Any, _proto: Any) -> None:
        raise error

    async def failing() -> None:
        raise error

    assert (await hand_over(fails)).told == [error]
    watched = await hand_over(lambda _scope, _proto: failing())
    await asyncio.gather(*watched.tasks)
    assert watched.told == [error]


async def test_what_goes_on_by_itself_is_in_flight_until_it_has_ended_and_no_task() -> None:
    class Underway:
        ended: Callable[[Any], object] | None = None

        def cancel(self) -> None: ...

    underway = Underway()
    watched = await hand_over(lambda _scope, _proto: underway)
    assert watched.tasks == []
    assert watched.told == []
    assert in_flight() == {underway}
    assert underway.ended is not None
    underway.ended(underway)
    assert in_flight() == set()
