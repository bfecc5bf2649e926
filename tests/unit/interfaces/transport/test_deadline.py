"""Many waits, one timer: each is ended at its own time, and by nothing else."""

from __future__ import annotations

import asyncio

import pytest

from ramet.interfaces.transport.deadline import Deadline


async def bounded(deadline: Deadline, event: asyncio.Event) -> str:
    wait = deadline.enter_task()
    try:
        await event.wait()
    except asyncio.CancelledError:
        if wait.spent():
            return "late"
        raise
    finally:
        deadline.leave(wait)
    return "in time"


async def test_each_wait_that_lasts_too_long_is_ended_and_no_other() -> None:
    deadline, never, soon = Deadline(0.01), asyncio.Event(), asyncio.Event()
    soon.set()
    assert await asyncio.gather(*[bounded(deadline, event) for event in (never, soon, never)]) == [
        "late",
        "in time",
        "late",
    ]
    assert await bounded(deadline, never) == "late"
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_task_that_is_ended_by_somebody_else_ends() -> None:
    deadline, never = Deadline(60), asyncio.Event()
    task = asyncio.create_task(bounded(deadline, never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_it_serves_one_event_loop_after_another() -> None:
    deadline = Deadline(0.01)

    async def late() -> str:
        return await bounded(deadline, asyncio.Event())

    assert [asyncio.run(late()) for _ in range(2)] == ["late", "late"]
    with asyncio.Runner() as runner:
        runner.run(bounded(deadline, _set()))
    assert asyncio.run(late()) == "late"


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
