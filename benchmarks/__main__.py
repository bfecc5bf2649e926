"""`python -m benchmarks`: measures floor, Ramet and peer in one run, prints the table, exits 1 below a budget."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ask import WrongAnswer
from benchmarks.beside import measure_beside
from benchmarks.engines import Engines, engines
from benchmarks.load import LoadFailed
from benchmarks.measure import Stand
from benchmarks.report import Report, say
from benchmarks.servers import Cores, ServerFailed
from benchmarks.subjects import Peer, Ramet, Subject
from benchmarks.works import FULL, MANY, NAMES, POSTGRES_WORKS, QUICK, SINGLE, WORKS, Effort


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when every measured budget holds, 1 when one does not, 2 when something was not measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives a run that is ended
    wanted = set(options.only or NAMES)
    effort = QUICK if options.quick else FULL
    try:
        with tempfile.TemporaryDirectory(prefix="ramet-bench-", dir=options.directory) as directory:
            report = run(Path(directory), wanted, effort, peer=not options.no_peer)
    except (LoadFailed, ServerFailed, WrongAnswer) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 2
    print(report.text())
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")
    return 1 if report.misses() else 0


def run(directory: Path, wanted: set[str], effort: Effort, *, peer: bool) -> Report:
    """Measures what is wanted, with its data in `directory`: one process on SQLite first, then many instances."""
    cores, report = Cores.available(), Report("Ramet")
    print(
        f"server on core {cores.server}, load on core {cores.load}; {effort.rounds} rounds of {effort.seconds} s;",
        end="",
    )
    print(f" a synced write of 4 kB takes {sync_time(directory) * 1e6:.0f} µs\n", flush=True)
    if wanted & set(SINGLE):
        _single(Stand(directory, cores, effort), [Ramet(), Peer()] if peer else [Ramet()], wanted, report)
    if wanted & set(MANY):
        say("starting PostgreSQL and Redis")
        with engines(directory, cores) as found:
            _many(directory, cores, effort, found, wanted, report, peer=peer)
    return report


def _single(stand: Stand, subjects: Sequence[Subject], wanted: set[str], report: Report) -> None:
    try:
        for subject in subjects:
            say(f"filling {subject.name}")
            _, weight = stand.start(subject)
            if "memory" in wanted:
                report.idle[subject.name] = weight
        for work in WORKS:
            if work.name in wanted:
                say(f"measuring {work.name}")
                report.works.append(stand.measure(work))
        if "sign-ins" in wanted:
            for subject, server in stand.running:
                say(f"signing in to {subject.name}")
                report.storms[subject.name] = stand.storm(subject, server)
    finally:
        stand.stop()


def _many(
    directory: Path, cores: Cores, effort: Effort, found: Engines, wanted: set[str], report: Report, *, peer: bool
) -> None:
    works = [work for work in POSTGRES_WORKS if work.name in wanted]
    if works:
        report.parts["beside"] = measure_beside(directory, cores, effort, found, works, peer=peer)


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
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
