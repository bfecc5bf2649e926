"""Work that is given up half-way, and what it has left open."""

from __future__ import annotations

import asyncio
import os
import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any


@types.coroutine
def interrupted(work: Coroutine[Any, Any, Any], at: int) -> Generator[Any, Any, Any]:
    """What the work returns, in a task that is cancelled when it waits for the `at`-th time; 1 is the first."""
    step, given = work.send, None
    while True:
        try:
            awaited = step(given)  # type: ignore[arg-type]  # what is given goes with the step
        except StopIteration as end:
            return end.value
        at -= 1
        if at == 0:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            given = yield awaited
            step = work.send
        except BaseException as error:
            step, given = work.throw, error  # type: ignore[assignment]  # as above


def sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself is gone
            found.add(os.readlink(descriptor))
    return {name for name in found if name.startswith("socket:")}
