"""Any worker answers for all of them, in real processes that stop, crash and come back; and no sum ever goes down."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from ramet.observe import RequestDone
from ramet.operate.exporter import HEARTBEAT, Exporter
from ramet.operate.families import Families, Family
from ramet.operate.metrics import Metrics
from ramet.operate.workers import Workers

Make = Callable[..., RequestDone]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(families: Iterable[Metric]) -> Samples:
    found = [sample for family in families for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def requests(found: Samples) -> float:
    return value(found, "ramet_request_seconds_count", operation="tasks.list", status="2xx")


class Process:
    """A worker process, told what to do line by line."""

    def __init__(self, directory: Path, name: str) -> None:
        script = Path(__file__).with_name("counting_worker.py")
        command = [sys.executable, str(script), str(directory), name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.answer()

    def scrape(self) -> Samples:
        return samples(read_text(bytes.fromhex(self.tell("scrape")).decode()))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[Process] = []

    def begin(name: str) -> Process:
        processes.append(Process(tmp_path, name))
        assert processes[-1].answer() == "ready"
        return processes[-1]

    yield begin
    for process in processes:
        process.close()


def test_whoever_is_asked_shows_the_sum_of_all(start: Start) -> None:
    one, two = start("1"), start("2")
    one.tell("count 3")
    two.tell("count 4")
    one.scrape()  # publishes what it shows
    for found in (two.scrape(), one.scrape()):
        assert requests(found) == 7
        assert value(found, "ramet_request_seconds_sum", operation="tasks.list", status="2xx") == pytest.approx(0.007)
        assert value(found, "ramet_cache_total", outcome="near") == 7
        assert value(found, "ramet_workers") == 2
        assert value(found, "ramet_in_flight") == 10
        assert value(found, "ramet_log_lag_seconds") == 2
        assert value(found, "process_resident_memory_bytes", worker="1") > 0
        assert value(found, "process_resident_memory_bytes", worker="2") > 0
        assert value(found, "process_cpu_seconds_total") > 0


def test_a_killed_worker_leaves_what_it_has_shown_and_nothing_of_how_it_was(start: Start, tmp_path: Path) -> None:
    one, two = start("1"), start("2")
    one.tell("count 30")
    two.tell("count 4")
    seen = one.scrape()
    one.kill()
    found = two.scrape()
    assert requests(found) == 34 >= requests(seen)
    assert value(found, "ramet_workers") == 1
    assert value(found, "ramet_in_flight") == 5
    assert ("process_resident_memory_bytes", frozenset({("worker", "1")})) not in found
    again = start("1")  # in its place; the dead one's files go
    again.tell("count 1")
    for found in (again.scrape(), two.scrape()):
        assert requests(found) == 35
        assert value(found, "ramet_workers") == 2
        assert value(found, "process_cpu_seconds_total") >= value(seen, "process_cpu_seconds_total")
    assert len(list(tmp_path.glob("*.figures"))) == 2
    assert len(list(tmp_path.glob("*.alive"))) == 2


def test_a_worker_that_stops_leaves_everything_it_counted(start: Start) -> None:
    one, two = start("1"), start("2")
    one.tell("count 5")
    assert one.tell("stop") == "stopped"
    assert requests(two.scrape()) == 5
    assert value(two.scrape(), "ramet_workers") == 1


def test_workers_that_keep_crashing_leave_no_heap_of_files(start: Start, tmp_path: Path) -> None:
    steady = start("0")
    for number in range(1, 4):
        worker = start(str(number))
        worker.tell("count 10")
        worker.scrape()
        worker.kill()
        assert requests(steady.scrape()) == 10 * number
    assert len(list(tmp_path.glob("*.figures"))) <= 2
    assert len(list(tmp_path.iterdir())) <= 6


async def test_what_one_worker_has_shown_the_next_one_shows_too(tmp_path: Path, done: Make) -> None:
    exporters, metrics = [], []
    for name in "ab":
        metrics.append(Metrics(["tasks.list"]))
        exporters.append(Exporter(metrics[-1], directory=tmp_path, worker=name, fresh=0.0))
        await exporters[-1].start()
    last = 0.0
    for number in range(20):
        metrics[number % 2].request(done())
        body, _ = await exporters[number % 2].scrape()
        other, _ = await exporters[1 - number % 2].scrape()
        for text in (body, other):
            now = requests(samples(read_text(text.decode())))
            assert now >= last
            last = now
    assert last == 20
    for exporter in exporters:
        await exporter.stop()


async def test_one_process_alone_needs_no_directory_and_no_worker_label(done: Make) -> None:
    metrics = Metrics(["tasks.list"])
    exporter = Exporter(metrics)
    await exporter.start()
    metrics.request(done())
    body, kind = await exporter.scrape()
    found = samples(read_text(body.decode()))
    assert kind.startswith("text/plain; version=0.0.4")
    assert requests(found) == 1
    assert value(found, "process_resident_memory_bytes") > 0
    assert not any(key == "worker" for _, labels in found for key, _ in labels)
    assert not await exporter.publish()
    await exporter.stop()


@pytest.mark.parametrize(
    ("accept", "modern"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", True),
        ("text/plain, Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;q=0, text/plain", False),
        (";;,,;q=", False),
    ],
)
async def test_openmetrics_is_given_to_whoever_accepts_it(done: Make, accept: str, modern: bool) -> None:
    metrics = Metrics(["tasks.list"])
    metrics.request(done(code="not_found"))
    body, kind = await Exporter(metrics).scrape(accept)
    assert kind.startswith("application/openmetrics-text; version=1.0.0") == modern
    text = body.decode()
    assert text.endswith("# EOF\n") == modern
    read: Callable[[str], Iterable[Metric]] = read_openmetrics if modern else read_text
    found = samples(read(text))
    assert requests(found) == 1
    assert value(found, "ramet_request_seconds_bucket", operation="tasks.list", status="2xx", le="0.0025") == 1
    assert value(found, "ramet_request_seconds_bucket", operation="tasks.list", status="2xx", le="+Inf") == 1
    assert value(found, "ramet_request_seconds_bucket", operation="tasks.list", status="2xx", le="0.001") == 0
    assert value(found, "ramet_errors_total", code="not_found") == 1


async def test_an_answer_is_given_again_for_a_moment_and_to_all_who_ask_at_once(done: Make) -> None:
    now = 100.0
    reads: list[int] = []

    def read() -> float:
        reads.append(1)
        return 0.0

    metrics = Metrics()
    metrics.gauge("ramet_read", "Reads.", read)
    exporter = Exporter(metrics, clock=lambda: now)
    answers = await asyncio.gather(*(exporter.scrape() for _ in range(50)))
    assert len(set(answers)) == 1
    assert len(reads) == 1
    now += 0.2
    await exporter.scrape()
    assert len(reads) == 1
    now += 0.1
    await exporter.scrape()
    assert len(reads) == 2


async def test_figures_are_published_when_they_changed_or_now_and_then(
    tmp_path: Path, done: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramet.operate.exporter.EVERY", 3_600.0)  # it looks only when it is told to
    metrics = Metrics(["tasks.list"])
    exporter = Exporter(metrics, directory=tmp_path, worker="a")
    await exporter.start()
    await exporter.publish()
    assert [await exporter.publish() for _ in range(3)] == [False, False, False]
    metrics.request(done())
    assert await exporter.publish()
    assert [await exporter.publish() for _ in range(HEARTBEAT)] == [False] * (HEARTBEAT - 1) + [True]
    await exporter.stop()


async def test_a_directory_that_is_gone_hides_nothing_of_this_worker(tmp_path: Path, done: Make) -> None:
    metrics = Metrics(["tasks.list"])
    exporter = Exporter(metrics, directory=tmp_path / "run", worker="a", fresh=0.0)
    await exporter.start()
    shutil.rmtree(tmp_path / "run")
    metrics.request(done())
    await exporter.scrape()
    body, _ = await exporter.scrape()
    found = samples(read_text(body.decode()))
    assert requests(found) == 1
    assert value(found, "ramet_unpublished_total") >= 1
    await exporter.stop()


async def test_a_file_of_another_release_is_left_out(tmp_path: Path, done: Make) -> None:
    tmp_path.joinpath("1-other.figures").write_bytes(b"\x93 what is this")
    other = Workers(tmp_path, "old")
    strange: Families = {"ramet_request_seconds": Family("histogram", "x", ("operation",), {("a",): [1, 2]}, (1.0,))}
    other.publish(strange | {"ramet_extra_total": Family("counter", "x", (), {(): [3]})}, 1)
    metrics = Metrics(["tasks.list"])
    metrics.request(done())
    exporter = Exporter(metrics, directory=tmp_path, worker="a")
    await exporter.start()
    body, _ = await exporter.scrape()
    found = samples(read_text(body.decode()))
    assert requests(found) == 1
    assert value(found, "ramet_extra_total") == 3
    await exporter.stop()
    other.close()


async def test_figures_can_join_a_registry_that_is_already_there(done: Make) -> None:
    metrics = Metrics(["tasks.list"])
    metrics.request(done())
    assert requests(samples(Exporter(metrics).collect())) == 1


def counted(workers: Workers) -> float:
    alive, gone = workers.others()
    families = [gone, *(figures.families for figures in alive)]
    return sum(family["n_total"].series[()][0] for family in families if "n_total" in family)


def count(number: float) -> Families:
    return {"n_total": Family("counter", "x", (), {(): [number]})}


def test_a_crash_while_the_dead_are_added_up_counts_nobody_twice(tmp_path: Path) -> None:
    dead = Workers(tmp_path, "a")
    dead.publish(count(10), 1)
    dead.close()
    file = tmp_path / f"{dead.id}.figures"
    kept = file.read_bytes()
    watcher = Workers(tmp_path, "b")
    assert not file.exists()
    assert counted(watcher) == 10
    file.write_bytes(kept)  # as if the file had not been removed before the crash
    assert counted(watcher) == 10
    last = Workers(tmp_path, "c")
    assert not file.exists()
    assert counted(last) == counted(watcher) == 10
    watcher.close()
    last.close()


def test_a_late_publication_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    worker, watcher = Workers(tmp_path, "a"), Workers(tmp_path, "b")
    worker.publish(count(10), 2)
    worker.publish(count(5), 1)
    assert counted(watcher) == 10
    worker.close()
    worker.publish(count(20), 3)  # it has left
    assert counted(watcher) == 10
    watcher.close()


def test_only_their_owner_may_read_the_files(tmp_path: Path) -> None:
    worker = Workers(tmp_path / "run", "a")
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
    worker.close()


def test_no_sum_goes_down_while_workers_come_and_go(tmp_path: Path) -> None:
    watcher = Workers(tmp_path, "watcher")
    shown = 0.0
    stop = threading.Event()
    wrong: list[tuple[float, float]] = []

    def watch() -> None:
        nonlocal shown
        while not stop.is_set():
            now = counted(watcher)
            if now < shown:
                wrong.append((shown, now))
            shown = now

    thread = threading.Thread(target=watch)
    thread.start()
    give_up = time.monotonic() + 60
    for number in range(150):
        assert time.monotonic() < give_up
        worker = Workers(tmp_path, str(number))  # adds up those before
        worker.publish(count(1), 1)
        worker.close()
    stop.set()
    thread.join()
    assert wrong == []
    assert counted(watcher) == 150
    watcher.close()
