"""The table, the verdicts and the JSON document of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.measure import FLOOR, TURNS, Measured, Storm
from benchmarks.servers import Weight
from benchmarks.works import MEMORY_BUDGET, NOISE, SIGN_INS

COLUMNS = (
    "work",
    "floor/s",
    "Ramet/s",
    "ratio",
    "rounds",
    "budget",
    "peer/s",
    "x peer",
    "Ramet ms",
    "peer ms",
    "floor µs",
    "Ramet µs",
    "of turns",
)

STORM_COLUMNS = (
    f"cached list beside {SIGN_INS} sign-ins",
    "alone/s",
    "beside/s",
    "kept",
    "alone ms",
    "beside ms",
    "sign-ins/s",
)
WEIGHT_COLUMNS = ("idle memory", "processes", "PSS", "RSS", "budget (PSS)")
LEGEND = (
    "/s: requests a second; ms: p50 / p99 at full load; µs: processor time of the server for a request. "
    "All medians of the rounds; `rounds` is the lowest and highest ratio of one round; "
    "`of turns` is the ratio to the floor with its threads scheduled as Ramet's are."
)


class Part(Protocol):
    """What a run found of one thing: rows under their heads, a sentence for each budget missed, and all of it."""

    def table(self) -> Sequence[Sequence[str]]: ...
    def misses(self) -> list[str]: ...
    def document(self) -> dict[str, Any]: ...


@dataclass(slots=True)
class Report:
    """What a run found: works in order, storms and weights by server name, `parts` by theirs. `peer` may be absent."""

    subject: str
    works: list[Measured] = field(default_factory=list)
    storms: dict[str, Storm] = field(default_factory=dict)
    idle: dict[str, Weight] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)

    def misses(self) -> list[str]:
        """One sentence for each budget that does not hold."""
        found = [
            f"{one.work.name}: {one.ratio(self.subject):.1%} of the floor, less than {one.work.budget:.0%}"
            for one in self.works
            if one.ratio(self.subject) < one.work.budget
        ]
        weight = self.idle.get(self.subject)
        if weight and weight.shared_once > MEMORY_BUDGET:
            found.append(f"memory: {_megabytes(weight.shared_once)} idle, more than {_megabytes(MEMORY_BUDGET)}")
        return [*found, *(miss for part in self.parts.values() for miss in part.misses())]

    def text(self) -> str:
        parts = []
        if self.works:
            parts.append(table([COLUMNS, *(self._row(one) for one in self.works)]))
            parts.append(LEGEND)
            others = max(series.others for one in self.works for series in one.series.values())
            if others > NOISE:
                parts.append(
                    f"Other programs took up to {others:.0%} of a core meanwhile: measure again when it is quiet."
                )
        if self.storms:
            rows = [_storm_row(name, storm) for name, storm in self.storms.items()]
            parts.append("\n" + table([STORM_COLUMNS, *rows]))
        if self.idle:
            rows = [self._weight_row(name, weight) for name, weight in self.idle.items()]
            parts.append("\n" + table([WEIGHT_COLUMNS, *rows]))
        parts += ["\n" + table(part.table()) for part in self.parts.values()]
        misses = self.misses()
        parts.append("\n" + ("\n".join(f"BELOW BUDGET  {miss}" for miss in misses) if misses else "every budget holds"))
        return "\n".join(parts)

    def _row(self, one: Measured) -> tuple[str, ...]:
        mine, peer, ratio = one.series[self.subject], one.series.get("peer"), one.ratio(self.subject)
        lowest, highest = one.spread(self.subject)
        return (
            f"{one.work.title}, {one.work.connections} clients, {one.size} B",
            f"{one.series[FLOOR].rate:,.0f}",
            f"{mine.rate:,.0f}",
            f"{ratio:.1%}",
            f"{lowest:.0%} to {highest:.0%}",
            f"{one.work.budget:.0%} {'holds' if ratio >= one.work.budget else 'MISSED'}",
            f"{peer.rate:,.0f}" if peer else "-",
            f"{one.ratio(self.subject, 'peer'):.1f}" if peer else "-",
            mine.latency,
            peer.latency if peer else "-",
            f"{one.series[FLOOR].cost:.0f}",
            f"{mine.cost:.0f}",
            f"{one.ratio(self.subject, TURNS):.1%}" if TURNS in one.series else "-",
        )

    def _weight_row(self, name: str, weight: Weight) -> tuple[str, ...]:
        budget = "-"
        if name == self.subject:
            budget = f"{_megabytes(MEMORY_BUDGET)} {'holds' if weight.shared_once <= MEMORY_BUDGET else 'MISSED'}"
        return name, str(weight.processes), _megabytes(weight.shared_once), _megabytes(weight.resident), budget

    def document(self) -> dict[str, Any]:
        """Everything measured, every round included, for `--json`."""
        return {
            "works": {one.work.name: _work_document(one, self.subject) for one in self.works},
            "sign_ins": {name: _storm_document(storm) for name, storm in self.storms.items()},
            "idle": {
                name: {"processes": weight.processes, "pss": weight.shared_once, "rss": weight.resident}
                for name, weight in self.idle.items()
            },
            **{name: part.document() for name, part in self.parts.items()},
            "misses": self.misses(),
        }


def say(step: str) -> None:
    """Tells whoever waits what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {step} …", file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as they need, the first to the left, the others to the right, a rule under the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _storm_row(name: str, storm: Storm) -> tuple[str, ...]:
    kept = storm.beside.rate / storm.alone.rate
    alone, beside = storm.alone.latency, storm.beside.latency
    rates = f"{storm.alone.rate:,.0f}", f"{storm.beside.rate:,.0f}", f"{kept:.0%}"
    return name, *rates, alone, beside, f"{storm.sign_ins.rate:,.0f}"


def _work_document(one: Measured, subject: str) -> Mapping[str, Any]:
    return {
        "ratio": one.ratio(subject),
        "budget": one.work.budget,
        "size": one.size,
        "series": {name: series.document() for name, series in one.series.items()},
    }


def _storm_document(storm: Storm) -> Mapping[str, Any]:
    return {name: getattr(storm, name).document() for name in ("alone", "beside", "sign_ins")}
