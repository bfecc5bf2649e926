"""The write lock of a file that several processes use: waited for, left to others, and not needed to begin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from ramet.data.sqlite import writer
from ramet.data.sqlite.committer import Committer
from ramet.data.store import Transaction
from ramet.errors import Problem

from .conftest import Opened, Opens


@asynccontextmanager
async def locked(it: Opened) -> AsyncIterator[None]:
    """Meanwhile a store has the lock, within a transaction that does not come to its end."""
    held, go = asyncio.Event(), asyncio.Event()

    async def holds(tx: Transaction) -> None:
        held.set()
        await go.wait()

    holding = asyncio.create_task(it.store.write(holds))
    await held.wait()
    try:
        yield
    finally:
        go.set()
        await holding


async def test_where_commits_are_slow_the_lock_is_left_to_others_now_and_then(
    opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others look for it every other moment: who takes it again as soon as it is free leaves them nothing."""
    freed: list[float] = []
    taken: list[float] = []
    commit = Committer._commit

    def slowly(self: Committer) -> None:
        time.sleep(0.03)  # waits: as a disk does
        commit(self)
        freed.append(time.perf_counter())

    def look(_cursor: Any, sql: str, _bindings: Any) -> bool:
        if sql == "BEGIN IMMEDIATE":
            taken.append(time.perf_counter())
        return True

    monkeypatch.setattr(Committer, "_commit", slowly)
    async with opens() as it:
        it.store.writer._connection.exec_trace = look

        async def write(lane: int) -> None:
            for turn in range(12):
                await it.put(f"x-{lane}-{turn}")

        await asyncio.gather(*map(write, range(3)))
    left = [begun - end > writer.LOCK_WAIT[1] for end, begun in zip(freed, taken[1:], strict=False)]
    assert len(left) >= 11
    assert all(one or other for one, other in pairwise(left)), "after each second commit at the latest"


async def test_a_process_starts_beside_one_that_holds_the_lock(opens: Opens) -> None:
    async with opens() as it, locked(it), opens() as other:  # in this thread: nobody could let go meanwhile
        assert other.store.incarnation == it.store.incarnation
        assert await other.store.fact("incarnation", lambda: "another") == it.store.incarnation


async def test_another_process_that_holds_the_lock_is_waited_for_but_not_for_ever(opens: Opens) -> None:
    async with opens(write_timeout=0.2) as it, opens(write_timeout=60) as other:
        async with locked(other):
            with pytest.raises(Problem) as refused:
                await it.put("x1")
        assert refused.value.kind.code == "unavailable"
        assert refused.value.retry_after
        await it.put("x2")
        assert await it.names() == ["x2"]
