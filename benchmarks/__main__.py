"""`python -m benchmarks`: measures floor, Ramet and peer in one run, prints the table, exits 1 below a budget."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ask import WrongAnswer
from benchmarks.beside import measure_beside
from benchmarks.delays import BUDGETS as DELAYS
from benchmarks.delays import measure_delays
from benchmarks.engines import Engines, engines
from benchmarks.load import LoadFailed
from benchmarks.measure import Stand
from benchmarks.report import Report, say
from benchmarks.scaling import measure_scaling
from benchmarks.servers import Cores, ServerFailed
from benchmarks.subjects import Peer, Ramet, Subject
from benchmarks.subscribers import measure_subscribers
from benchmarks.works import FULL, MANY, NAMES, POSTGRES_WORKS, QUICK, SINGLE, STREAMS, WORKS, Effort


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when every measured budget holds, 1 when one does not, 2 when something was not measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives a run that is ended
    try:
        with tempfile.TemporaryDirectory(prefix="ramet-bench-", dir=options.directory) as directory:
            wanted, effort = frozenset(options.only or NAMES), QUICK if options.quick else FULL
            cores = Cores.available()
            report = run(Plan(Path(directory), wanted, effort, not options.no_peer, options.plot, cores))
    except (LoadFailed, ServerFailed, WrongAnswer) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 2
    print(report.text())
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")
    return 1 if report.misses() else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run measures, how thoroughly, and where: its data in `directory`, a drawing in the file `plot`."""

    directory: Path
    wanted: frozenset[str]
    effort: Effort
    peer: bool
    plot: Path | None
    cores: Cores


def run(plan: Plan) -> Report:
    """Measures what is wanted: one process on SQLite first, then many instances."""
    cores, effort, report = plan.cores, plan.effort, Report("Ramet")
    print(
        f"server on core {cores.server}, load on core {cores.load}; {effort.rounds} rounds of {effort.seconds} s;",
        end="",
    )
    print(f" a synced write of 4 kB takes {sync_time(plan.directory) * 1e6:.0f} µs\n", flush=True)
    if not plan.wanted.isdisjoint(SINGLE):
        _measure_single(plan, report)
    if STREAMS in plan.wanted:
        report.parts[STREAMS] = measure_subscribers(plan.directory, cores, effort)
    if not plan.wanted.isdisjoint(MANY):
        say("starting PostgreSQL and Redis")
        with engines(plan.directory, cores) as found:
            _measure_many(plan, found, report)
    return report


def _measure_single(plan: Plan, report: Report) -> None:
    stand = Stand(plan.directory, plan.cores, plan.effort)
    subjects: list[Subject] = [Ramet(), Peer()] if plan.peer else [Ramet()]
    try:
        for subject in subjects:
            say(f"filling {subject.name}")
            _, weight = stand.start(subject)
            if "memory" in plan.wanted:
                report.idle[subject.name] = weight
        for work in WORKS:
            if work.name in plan.wanted:
                say(f"measuring {work.name}")
                report.works.append(stand.measure(work))
        if "sign-ins" in plan.wanted:
            for subject, server in stand.running:
                say(f"signing in to {subject.name}")
                report.storms[subject.name] = stand.storm(subject, server)
    finally:
        stand.stop()


def _measure_many(plan: Plan, found: Engines, report: Report) -> None:
    directory, cores, effort, wanted = plan.directory, plan.cores, plan.effort, plan.wanted
    works = [work for work in POSTGRES_WORKS if work.name in wanted]
    if works:
        report.parts["beside"] = measure_beside(directory, cores, effort, found, works, peer=plan.peer)
    if not wanted.isdisjoint(DELAYS):
        report.parts["delays"] = measure_delays(directory, cores, effort, found, wanted)
    if "scale-out" in wanted:
        scaling = measure_scaling(directory, cores, effort, found)
        report.parts["scale-out"] = scaling
        if plan.plot is not None:
            plan.plot.write_text(scaling.drawing())


def sync_time(directory: Path) -> float:
    """Median seconds of 50 synced writes of 4 kB: what a durable commit can't be faster than."""
    times = []
    with (directory / "sync").open("wb") as file:
        for _ in range(50):
            start = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds on less data: a first impression")
    some = f"one of {', '.join(NAMES)}; may be repeated"
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=some)
    parser.add_argument("--no-peer", action="store_true", help="only the floor and Ramet")
    parser.add_argument("--directory", help="where the databases are during the run (default: the temporary one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the throughput of instances, as SVG")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
