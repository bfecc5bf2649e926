"""Lists, records and creates on PostgreSQL, beside the peer on the same PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engines import Engines
from benchmarks.measure import Measured, Stand
from benchmarks.report import say
from benchmarks.servers import Cores
from benchmarks.subjects import Peer, Ramet, Subject
from benchmarks.works import POSTGRES_WORKS, Effort, Work

SUBJECT, PEER = "Ramet", "peer"


@dataclass(slots=True)
class Beside:
    """The works measured so far. A budget is the least multiple of the peer's rate; 0 is none."""

    works: list[Measured] = field(default_factory=list)

    def table(self) -> Sequence[Sequence[str]]:
        head = ("work", "Ramet/s", "peer/s", "x peer", "rounds", "budget", "Ramet ms", "peer ms", "Ramet µs", "peer µs")
        return [head, *(_row(one) for one in self.works)]

    def misses(self) -> list[str]:
        return [
            f"{one.work.name}: {one.ratio(SUBJECT, PEER):.1f} times the peer, less than {one.work.budget:g}"
            for one in self.works
            if PEER in one.series and one.ratio(SUBJECT, PEER) < one.work.budget
        ]

    def document(self) -> dict[str, Any]:
        return {one.work.name: _document(one) for one in self.works}


def measure_beside(
    directory: Path, cores: Cores, effort: Effort, engines: Engines, works: Sequence[Work], *, peer: bool
) -> Beside:
    """Rounds of each work. The database has the core of the load generator, for both."""
    stand, found = Stand(directory, cores, effort, engines.busy), Beside()
    subjects: list[Subject] = [Ramet(engines), Peer(engines)] if peer else [Ramet(engines)]
    try:
        for subject in subjects:
            say(f"filling {subject.name} on PostgreSQL")
            stand.start(subject)
        engines.settle()
        for work in POSTGRES_WORKS:
            if work in works:
                say(f"measuring {work.name}")
                found.works.append(stand.compare(work))
    finally:
        stand.stop()
    return found


def _row(one: Measured) -> tuple[str, ...]:
    mine, title = one.series[SUBJECT], f"{one.work.title}, {one.work.connections} clients, {one.size} B"
    peer = one.series.get(PEER)
    if peer is None:
        return title, f"{mine.rate:,.0f}", "-", "-", "-", "-", mine.latency, "-", f"{mine.cost:.0f}", "-"
    ratio, (lowest, highest) = one.ratio(SUBJECT, PEER), one.spread(SUBJECT, PEER)
    verdict = f"{one.work.budget:g} {'holds' if ratio >= one.work.budget else 'MISSED'}" if one.work.budget else "-"
    return (
        title,
        f"{mine.rate:,.0f}",
        f"{peer.rate:,.0f}",
        f"{ratio:.1f}",
        f"{lowest:.1f} to {highest:.1f}",
        verdict,
        mine.latency,
        peer.latency,
        f"{mine.cost:.0f}",
        f"{peer.cost:.0f}",
    )


def _document(one: Measured) -> dict[str, Any]:
    return {
        "budget": one.work.budget,
        "ratio": one.ratio(SUBJECT, PEER) if PEER in one.series else None,
        "size": one.size,
        "series": {name: series.document() for name, series in one.series.items()},
    }
