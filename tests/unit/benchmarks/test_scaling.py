"""Shares of a core, what counts as linear, and its drawing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.load import Result
from benchmarks.plot import plot
from benchmarks.scaling import MIXES, ORDER, Scaling
from benchmarks.servers import TICKS
from benchmarks.share import LegacyGroup, Share, Turns, UnifiedGroup, hold
from benchmarks.works import INSTANCES, PART

SPIN = "while True: pass"
LONG_ENOUGH = 2.0


def answered(rate: float, busy: float = 0.1) -> Result:
    return Result(round(rate), 1.0, 100, 1.0, 2.0, 3.0, busy=busy)


def scaling(*per_instance: float) -> Scaling:
    """Three rounds in which the rate of one instance differs, but not what more of them are as its multiples."""
    shares = dict(zip(INSTANCES, per_instance, strict=True))
    rounds = [[answered(one * count * shares[count], PART * count) for count in ORDER] for one in (1000, 2000, 500)]
    return Scaling("control group", {MIXES[0]: rounds})


def test_more_instances_are_compared_with_one_at_the_same_time_and_with_what_it_may_use() -> None:
    """A machine that gets slower all the time, and one instance that was let have twice its share."""
    speeds = [1000 - 50 * place for place in range(len(ORDER))]
    even = [answered(count * speed, PART * count) for count, speed in zip(ORDER, speeds, strict=True)]
    greedy = [
        answered(count * speed * (2 if count == 1 else 1), PART * count * (2 if count == 1 else 1))
        for count, speed in zip(ORDER, speeds, strict=True)
    ]
    idle = [
        answered(count * speed / (1 if count == 1 else 2), PART * count / (1 if count == 1 else 2))
        for count, speed in zip(ORDER, speeds, strict=True)
    ]
    for rounds, expected in ((even, 1.0), (greedy, 1.0), (idle, 0.5)):
        found = Scaling("control group", {MIXES[0]: [rounds]}).linear(MIXES[0])
        assert found == {count: pytest.approx(1.0 if count == 1 else expected) for count in INSTANCES}


def test_less_than_nine_tenths_of_linear_is_a_miss_and_nine_tenths_are_not() -> None:
    assert scaling(1, 1, 0.95, 0.9).misses() == []
    assert scaling(1, 1, 0.9, 0.8).misses() == ["scale-out: 8 instances answer 80% of 8 times one, less than 90%"]
    rows = scaling(1, 1, 0.9, 0.8).table()
    assert rows[2] == ("  as a share of linear", "100%", "100%", "90%", "80%", "0.9 MISSED")
    assert rows[3][1:5] == ("100%", "100%", "100%", "100%")


def test_the_drawing_has_a_point_for_each_number_of_instances() -> None:
    picture = ElementTree.fromstring(scaling(1, 1, 0.9, 0.8).drawing())
    circles = picture.findall("{*}circle")
    assert len(circles) == len(INSTANCES)
    across = [float(circle.attrib["cx"]) for circle in circles]
    assert across == sorted(across)
    assert all(0 < float(circle.attrib["cy"]) < 400 for circle in circles)
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert [str(count) for count in INSTANCES] == [word for word in words if word and word.isdigit()]


def test_a_drawing_of_rates_of_any_size_has_some_lines_to_read_them_by() -> None:
    for most in (3, 17.5, 99, 1_000, 54_321):
        picture = ElementTree.fromstring(plot({1: most / 8, 8: most}, 0.9, "t"))
        assert (
            3
            <= sum(line.attrib.get("class") == "grid" for line in picture.iter("{http://www.w3.org/2000/svg}line"))
            <= 8
        )


def takes_little(pid: int) -> bool:
    """Whether a process takes less than half of what one does that nobody holds."""
    with spinner() as free:
        before = taken(pid), taken(free.pid)
        time.sleep(LONG_ENOUGH)  # waits: for both to take what they can
        return taken(pid) - before[0] < 0.5 * (taken(free.pid) - before[1])


@contextmanager
def spinner() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def spinning() -> Iterator[subprocess.Popen[bytes]]:
    with spinner() as process:
        yield process


@pytest.mark.parametrize("holder", [hold, lambda name, processes, part: Turns(processes, part)], ids=["best", "turns"])
def test_a_process_that_is_held_gets_about_its_share_and_all_of_it_again(
    spinning: subprocess.Popen[bytes], holder: Callable[..., Share]
) -> None:
    groups = Path(f"/proc/{spinning.pid}/cgroup").read_text()
    share = holder("test", [spinning.pid], PART)
    try:
        assert any(takes_little(spinning.pid) for _ in range(3)), "who holds it may be held up, not each time"
    finally:
        share.release()
    assert Path(f"/proc/{spinning.pid}/cgroup").read_text() == groups
    assert not list(Path("/sys/fs/cgroup").glob(f"**/ramet-bench-{os.getpid()}-*"))
    until = time.monotonic() + 60
    before = taken(spinning.pid)
    while taken(spinning.pid) - before < 2 * PART and time.monotonic() < until:
        time.sleep(PART)  # waits: for it to run again
    assert taken(spinning.pid) - before >= 2 * PART


def test_a_folder_that_is_no_control_group_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spinning: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr("benchmarks.share.ROOT", tmp_path)
    (tmp_path / "cpu").mkdir()
    for kind in (UnifiedGroup, LegacyGroup):
        with pytest.raises(OSError, match="No such file"):
            kind("test", [spinning.pid], PART)
    assert list(tmp_path.rglob("*")) == [tmp_path / "cpu"]


def taken(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
