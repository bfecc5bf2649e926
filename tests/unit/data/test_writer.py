"""Group commit: what is acknowledged is durable and whole, what is refused changed nothing, nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import apsw
import pytest

from ramet.changes.change import Position
from ramet.data.sqlite import writer
from ramet.data.statement import Statement
from ramet.data.store import Entry, Transaction
from ramet.errors import Problem
from ramet.observe import BatchCommitted, StatementRun

from .conftest import ALL, PUT, Opens


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into a batch, or a run of rows, is not up to how busy the machine is."""
    monkeypatch.setattr(writer, "RUN_SECONDS", 60.0)
    monkeypatch.setattr(writer, "MAX_BATCH_SECONDS", 60.0)


async def test_what_waits_is_committed_together_and_acknowledged_after(opens: Opens) -> None:
    async with opens() as it:
        batches: list[int] = []
        it.observer.subscribe(BatchCommitted, lambda event: batches.append(event.writes))
        assert await asyncio.gather(*[it.put(f"x{n}") for n in range(20)]) == [f"x{n}" for n in range(20)]
        assert batches == [20]
        assert len(await it.names()) == 20


async def test_a_write_is_acknowledged_only_after_the_copies_here_know_of_it(opens: Opens) -> None:
    async with opens() as it:
        await it.put("x")
        assert it.commits == [1]


async def test_one_that_fails_undoes_only_itself(opens: Opens) -> None:
    async with opens() as it:

        async def fails(tx: Transaction) -> None:
            await tx.fetch(PUT, {"name": "x-bad", "value": ""})
            raise ValueError("no")

        first, bad, last = await asyncio.gather(
            it.put("x1"), it.store.write(fails), it.put("x2"), return_exceptions=True
        )
        assert (first, last) == ("x1", "x2")
        assert isinstance(bad, ValueError)
        assert await it.names() == ["x1", "x2"]


async def test_a_caught_part_undoes_only_what_it_did_and_its_place_in_the_log(opens: Opens) -> None:
    async with opens() as it:

        async def part(tx: Transaction) -> None:
            await tx.fetch(PUT, {"name": "x-part", "value": ""})
            await tx.log("Thing", "1", "created", 1, None, b"{}")
            raise ValueError("no")

        async def work(tx: Transaction) -> object:
            await tx.fetch(PUT, {"name": "x1", "value": ""})
            with pytest.raises(ValueError):
                await tx.part(lambda: part(tx))
            assert tx.position is None
            await tx.part(lambda: tx.fetch(PUT, {"name": "x2", "value": ""}))
            return tx.position

        assert await it.store.write(work) is None
        assert await it.names() == ["x1", "x2"]
        assert it.store.changes.head() == 0


async def test_a_hook_that_takes_too_long_is_undone_and_the_next_write_goes_on(opens: Opens) -> None:
    async with opens(write_timeout=0.05) as it:

        async def waits(tx: Transaction) -> None:
            await tx.fetch(PUT, {"name": "x-slow", "value": ""})
            await asyncio.Event().wait()

        with pytest.raises(Problem) as refused:
            await it.store.write(waits)
        assert refused.value.kind.code == "timed_out"
        await it.put("x1")
        assert await it.names() == ["x1"]


async def test_a_write_inside_a_write_ends_by_the_timeout_and_not_never(opens: Opens) -> None:
    async with opens(write_timeout=0.05) as it:

        async def nests(tx: Transaction) -> None:
            await it.put("x-inner")

        with pytest.raises(Problem):
            await it.store.write(nests)
        await it.put("x1")
        assert await it.names() == ["x1"]


async def test_a_caller_that_leaves_before_its_turn_is_not_served_and_one_during_it_is(opens: Opens) -> None:
    async with opens() as it:
        inside, go = asyncio.Event(), asyncio.Event()

        async def waits(tx: Transaction) -> None:
            await tx.fetch(PUT, {"name": "x-during", "value": ""})
            inside.set()
            await go.wait()

        during = asyncio.create_task(it.store.write(waits))
        await inside.wait()
        before = asyncio.create_task(it.put("x-before"))
        after = asyncio.create_task(it.put("x-after"))
        await asyncio.sleep(0)
        before.cancel()
        during.cancel()
        await asyncio.gather(before, during, return_exceptions=True)
        go.set()
        assert await after == "x-after"
        assert await it.names() == ["x-after", "x-during"]


async def test_work_that_is_cancelled_from_within_fails_alone(opens: Opens) -> None:
    async with opens() as it:

        async def cancels(tx: Transaction) -> None:
            await tx.fetch(PUT, {"name": "x-bad", "value": ""})
            raise asyncio.CancelledError

        first, bad, last = await asyncio.gather(
            it.put("x1"), it.store.write(cancels), it.put("x2"), return_exceptions=True
        )
        assert (first, last) == ("x1", "x2")
        assert isinstance(bad, RuntimeError)
        await it.put("x3")
        assert await it.names() == ["x1", "x2", "x3"]


async def test_beyond_the_limit_of_the_queue_writes_are_refused_and_accepted_ones_finish(opens: Opens) -> None:
    async with opens(write_queue_limit=3) as it:
        results = await asyncio.gather(*[it.put(f"x{n}") for n in range(5)], return_exceptions=True)
        refused = [result for result in results if isinstance(result, Problem)]
        assert [problem.kind.code for problem in refused] == ["overloaded", "overloaded"]
        assert all(problem.retry_after for problem in refused)
        assert await it.names() == ["x0", "x1", "x2"]


async def test_a_full_disk_is_told_as_such_changes_nothing_and_is_recovered_from(opens: Opens) -> None:
    async with opens() as it:
        await it.put("x1")
        connection = it.store.writer._connection
        pages = connection.pragma("page_count")
        connection.pragma("max_page_count", pages + 1)
        results = await asyncio.gather(*[it.put(f"x-big{n}", "v" * 50_000) for n in range(3)], return_exceptions=True)
        assert [result.kind.code for result in results if isinstance(result, Problem)] == ["storage_full"] * 3
        assert not connection.in_transaction
        assert await it.names() == ["x1"]
        connection.pragma("max_page_count", 1_000_000)
        await it.put("x2", "v" * 50_000)
        assert await it.names() == ["x1", "x2"]


async def test_when_the_engine_gives_the_transaction_up_nothing_of_the_batch_stands(opens: Opens) -> None:
    async with opens() as it:
        rollback = Statement("ROLLBACK", (), {})
        bad = Statement("SELECT * FROM nowhere", (), {})

        async def loses(tx: Transaction) -> None:
            await tx.fetch(rollback, {})
            for _ in range(2):  # even a hook that catches what it should not
                with pytest.raises((apsw.SQLError, Problem)):
                    await tx.fetch(bad, {})
            with pytest.raises(Problem):
                await tx.fetch(PUT, {"name": "x-outside", "value": ""})

        first, lost, last = await asyncio.gather(
            it.put("x1"), it.store.write(loses), it.put("x2"), return_exceptions=True
        )
        assert isinstance(first, Exception)
        assert isinstance(lost, Exception)
        assert last == "x2"
        assert await it.names() == ["x2"]


async def test_a_row_whose_log_entry_cannot_be_stored_does_not_stand_and_the_others_do(opens: Opens) -> None:
    async with opens() as it:
        entry = Entry("Thing", "1", "created", 1, None, b"{}")
        unloggable = entry._replace(record=2**70)  # type: ignore[arg-type]  # no number of SQLite's
        first, bad, last = await asyncio.gather(
            it.put("x1"),
            it.insert("x-bad", unloggable),
            it.insert("x2", entry),
            return_exceptions=True,
        )
        assert first == "x1"
        assert isinstance(bad, OverflowError)
        assert last.seq == it.store.changes.head()
        assert await it.names() == ["x1", "x2"]


async def test_rows_that_wait_are_inserted_together_each_with_its_place_and_a_refused_one_alone_is_not(
    opens: Opens,
) -> None:
    async with opens() as it:
        statements: list[StatementRun] = []
        it.observer.subscribe(StatementRun, statements.append)

        def insert(name: str) -> Awaitable[Position]:
            return it.insert(name, Entry("Thing", name, "created", 1, None, b"{}"))

        head = it.store.changes.head()
        places = await asyncio.gather(*[insert(f"x{number}") for number in range(8)])
        assert [place.seq for place in places] == [head + 1 + number for number in range(8)]
        assert [change.record_id for change in it.store.changes.after(head, 99)] == [f"x{n}" for n in range(8)]
        assert sorted(run.rows for run in statements if run.sql.startswith("INSERT")) == [8, 8]
        again = await asyncio.gather(insert("y1"), insert("x3"), insert("y2"), return_exceptions=True)
        assert isinstance(again[1], Problem)
        assert again[1].kind.code == "not_unique"
        assert [change.record_id for change in it.store.changes.after(head + 8, 99)] == ["y1", "y2"]


async def test_when_a_row_makes_the_engine_give_up_each_caller_is_told_that_and_no_other_reason(opens: Opens) -> None:
    async with opens() as it:
        it.store.writer._connection.execute(
            "CREATE TRIGGER boom BEFORE INSERT ON ramet_facts WHEN new.name = 'x-bad'"
            " BEGIN SELECT RAISE(ROLLBACK, 'boom'); END"
        )

        def insert(name: str) -> Awaitable[Position]:
            return it.insert(name, Entry("Thing", name, "created", 1, None, b"{}"))

        await insert("x-known")
        told = await asyncio.gather(*map(insert, ("x1", "x-known", "x-bad", "x2")), return_exceptions=True)
        assert all(isinstance(error, Exception) for error in told)
        assert [error for error in told if "not_unique" in str(error)] == [told[1]]
        assert await it.names() == ["x-known"]
        await insert("x3")
        assert await it.names() == ["x-known", "x3"]


async def test_nobody_waits_for_ever_when_a_run_cannot_even_begin(opens: Opens) -> None:
    class NoMemory:
        def __init__(self, connection: Any) -> None:
            self.connection, self.failing = connection, True

        def __getattr__(self, name: str) -> Any:
            return getattr(self.connection, name)

        def executemany(self, sql: str, rows: Any) -> Any:
            if self.failing:
                self.failing = False
                raise apsw.NoMemError("no memory")
            return self.connection.executemany(sql, rows)

    async with opens() as it:
        writer: Any = it.store.writer
        writer._connection = NoMemory(writer._connection)
        entry = Entry("Thing", "1", "created", 1, None, b"{}")
        with pytest.raises(apsw.NoMemError):
            await asyncio.wait_for(it.insert("x1", entry), 5)
        await it.insert("x2", entry)
        assert await it.names() == ["x2"]


async def test_rows_are_inserted_together_only_as_far_as_they_are_small(opens: Opens) -> None:
    async with opens() as it:
        runs: list[int] = []
        it.observer.subscribe(StatementRun, lambda run: runs.append(run.rows) if "ramet_facts" in run.sql else None)
        large = b"x" * writer.RUN_BYTES
        await asyncio.gather(*[it.insert(f"x{n}", Entry("Thing", "1", "created", 1, None, large)) for n in range(6)])
        assert runs == [1] * 6
        assert len(await it.names()) == 6


async def test_two_processes_writing_at_once_both_get_through(opens: Opens) -> None:
    async with opens() as one, opens() as two:
        await asyncio.gather(
            *[store.put(f"x{n:02}{name}") for n in range(20) for name, store in [("a", one), ("b", two)]]
        )
        assert len(await one.names()) == 40


async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(opens: Opens) -> None:
    async with opens() as it:
        accepted = [asyncio.create_task(it.put(f"x{n}")) for n in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(it.store.writer.close())
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await it.put("x-late")
        assert refused.value.kind.code == "unavailable"
        await closing
        assert await asyncio.gather(*accepted) == ["x0", "x1", "x2"]
        assert await it.names() == ["x0", "x1", "x2"]
        it.store.writer._connection = apsw.Connection(":memory:")  # the fixture closes the store once more


async def test_writes_are_reported_like_reads_and_slow_ones_with_their_plan(opens: Opens) -> None:
    async with opens(slow_query=0.0) as it:
        seen: list[StatementRun] = []
        it.observer.subscribe(StatementRun, seen.append)

        async def work(tx: Transaction) -> None:
            await tx.fetch(PUT, {"name": "x", "value": ""})
            await tx.fetch(ALL, {})

        await it.store.write(work)
        assert [event.sql.split()[0] for event in seen] == ["INSERT", "SELECT"]
        assert "ramet_facts" in seen[1].plan


async def test_rows_alone_in_their_transaction_need_no_savepoint_and_beside_others_they_do(opens: Opens) -> None:
    async with opens() as it:
        connection = it.store.writer._connection
        seen: list[str] = []

        def look(_cursor: Any, sql: str, _bindings: Any) -> bool:
            seen.append(sql)
            return True

        connection.exec_trace = look
        entry = Entry("Thing", "1", "created", 1, None, b"{}")
        await asyncio.gather(it.insert("x1", entry), it.insert("x2", entry))
        assert not [sql for sql in seen if "SAVEPOINT" in sql]
        await asyncio.gather(it.put("x3"), it.insert("x4", entry))
        assert "SAVEPOINT run" in seen
        assert await it.names() == ["x1", "x2", "x3", "x4"]


async def test_when_the_lock_is_lost_between_two_tries_everybody_is_told(opens: Opens) -> None:
    async with opens() as it:
        entry = Entry("Thing", "1", "created", 1, None, b"{}")
        await it.insert("x1", entry)
        writer: Any = it.store.writer
        begin, begun = writer._begin, 0

        async def second_fails() -> None:
            nonlocal begun
            begun += 1
            if begun == 2:
                raise apsw.BusyError("locked")
            await begin()

        writer._begin = second_fails
        told = await asyncio.gather(*[it.insert(name, entry) for name in ("x2", "x1", "x3")], return_exceptions=True)
        assert [error.kind.code for error in told if isinstance(error, Problem)] == ["unavailable"] * 3
        await it.insert("x4", entry)
        assert await it.names() == ["x1", "x4"]


async def test_one_that_cannot_be_told_keeps_nobody_else_from_being_told(opens: Opens) -> None:
    async with opens() as it:
        entry = Entry("Thing", "1", "created", 1, None, b"{}")
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))

        def breaks(_: object) -> None:
            raise ZeroDivisionError

        it.store.insert(PUT, ("x1", ""), entry, breaks)
        await it.insert("x2", entry)
        assert [type(error) for error in reported] == [ZeroDivisionError]
        assert await it.names() == ["x1", "x2"]
