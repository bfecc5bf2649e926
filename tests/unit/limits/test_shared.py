"""Real processes that share one table: their sum keeps the limit, and the death of one harms no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ramet.limits.counters import LocalCounters
from ramet.limits.policy import Policy
from ramet.limits.storage import HEADER_BYTES, shared
from ramet.limits.table import SharedTable, Table

WORKER = Path(__file__).with_name("worker.py")
POLICY = Policy("caller", 20_000, 60)
SLOTS = 64


Worker = subprocess.Popen[str]


@contextmanager
def started(count: int) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        workers = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            workers.append(process)
        assert [hear(process) for process in workers] == ["ready"] * count
        yield workers


@pytest.fixture(scope="module")
def resident() -> Iterator[list[Worker]]:
    with started(3) as workers:
        yield workers


@pytest.fixture
def workers(resident: list[Worker], tmp_path: Path) -> list[Worker]:
    """Three processes that have opened, all at once, the table of this test."""
    for process in resident:
        tell(process, f"open {tmp_path}")
    assert [hear(process) for process in resident] == ["opened"] * 3
    return resident


@contextmanager
def opened(directory: Path, policy: Policy = POLICY, slots: int = SLOTS) -> Iterator[Table]:
    table = LocalCounters(directory, slots).open(policy)
    try:
        yield table
    finally:
        table.close()


def tell(process: Worker, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: Worker) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_sum_over_processes_is_exactly_the_limit_in_every_window(workers: list[Worker]) -> None:
    # At each step all hammer at once, and each could use up the limit alone; steps are a third of a window apart.
    admitted: list[int] = []
    for step in range(5):
        for process in workers:
            tell(process, f"take ada 20000 {step * 20_000_000_000}")
        admitted.append(sum(int(hear(process)) for process in workers))
    assert admitted == [20_000, 0, 0, 0, 20_000]


def test_subjects_that_crowd_the_table_do_not_disturb_each_other(workers: list[Worker], tmp_path: Path) -> None:
    names = ["ada", "bob", "cy"]
    for process, name in zip(workers, names, strict=True):
        for _ in range(20):
            tell(process, f"take {name} 400 5")
    assert [sum(int(hear(process)) for _ in range(20)) for process in workers] == [8000] * 3
    with opened(tmp_path) as table:
        assert [table.peek(name, 5).remaining for name in names] == [12_000] * 3


def test_a_process_killed_inside_a_change_blocks_nobody(workers: list[Worker], tmp_path: Path) -> None:
    with opened(tmp_path) as table, started(1) as (victim,), ThreadPoolExecutor(1) as pool:
        tell(victim, f"open {tmp_path}")
        assert hear(victim) == "opened"
        tell(victim, "seize ada")
        assert hear(victim) == "seized"
        tell(workers[0], "take ada 1 5")
        answer = pool.submit(hear, workers[0])
        names = (f"caller {number}" for number in range(100))
        free = next(name for name in names if set_of(table, name) != set_of(table, "ada"))
        assert table.take(free, 1, 5).admitted, "another set is not locked"
        assert not answer.done(), "this one is"
        victim.kill()
        assert answer.result(timeout=60) == "1"
        assert table.take("ada", 1, 5).remaining == 19_998


def set_of(table: Table, subject: str) -> int:
    return table._place(subject)[1]


def test_many_that_start_at_once_find_the_same_table(workers: list[Worker], tmp_path: Path) -> None:
    for process in workers:
        tell(process, "take ada 6000 5")
    assert [hear(process) for process in workers] == ["6000"] * 3
    with opened(tmp_path) as table:
        assert table.peek("ada", 5).remaining == 2000
    assert [path.name for path in tmp_path.iterdir()] == ["limit_caller"]


def test_the_file_outlives_its_processes_and_is_private(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as table:
        table.take("ada", 7, 5)
    with opened(tmp_path / "run") as table:
        assert table.peek("ada", 5).remaining == 19_993
    file = tmp_path / "run" / "limit_caller"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == HEADER_BYTES + SLOTS * 64
    assert b"ada" not in file.read_bytes()


@pytest.mark.parametrize(
    ("policy", "slots"), [(Policy("caller", 19_999, 60), SLOTS), (Policy("caller", 20_000, 61), SLOTS), (POLICY, 128)]
)
def test_another_policy_or_size_begins_anew_and_leaves_the_old_to_who_has_it(
    tmp_path: Path, policy: Policy, slots: int
) -> None:
    with opened(tmp_path) as old:
        old.take("ada", 7, 5)
        with opened(tmp_path, policy, slots) as new:
            assert new.peek("ada", 5).remaining == policy.count
            assert old.peek("ada", 5).remaining == 19_993


@pytest.mark.parametrize("damage", [b"", b"not a table", b"\0" * (HEADER_BYTES + SLOTS * 64)])
def test_a_file_that_is_not_a_table_is_replaced(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "limit_caller").write_bytes(damage)
    with opened(tmp_path) as table:
        assert table.take("ada", 1, 5).remaining == 19_999


def test_a_table_of_an_earlier_boot_is_replaced(tmp_path: Path) -> None:
    with opened(tmp_path) as table:
        table.take("ada", 7, 5)
    file = tmp_path / "limit_caller"
    content = bytearray(file.read_bytes())
    content[24] ^= 1  # within the boot's name
    file.write_bytes(content)
    with opened(tmp_path) as table:
        assert table.peek("ada", 5).remaining == 20_000


def test_looking_and_giving_back_work_on_the_shared_table(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        one.take("ada", 2, 5)
        other.give_back("ada", 5)
        assert one.peek("ada", 5).remaining == 19_999
        assert isinstance(one, SharedTable)


def test_an_unusable_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        shared(tmp_path / "file" / "limit_caller", SLOTS, POLICY)
