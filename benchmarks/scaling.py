"""Scale-out: instances held to a tenth of a core each behind nginx, more and more of them, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.ask import Asker
from benchmarks.engines import Engines, nginx
from benchmarks.instances import instances
from benchmarks.load import Load, Request, Result, command, write_requests
from benchmarks.neighbours import Neighbours, neighbours
from benchmarks.plot import plot
from benchmarks.report import say
from benchmarks.servers import Cores, Server
from benchmarks.share import Share, Turns, hold
from benchmarks.subjects import Ramet, tokens
from benchmarks.works import CALLERS, INSTANCES, PART, SCALE_BUDGET, Effort

CONNECTIONS = 16
"""Clients for each instance."""
POOL = 4
"""Connections to the database that each instance keeps: as small as they are."""
WARM_UP = 1.0
LONGER = 2
"""How much longer than others a round takes that is held to a budget: a tenth of a core is seldom the same tenth."""
WRITES = 20
"""One request of so many creates a record in the second work."""
MIXES = ("records", f"records, one of {WRITES} a create")
ORDER = (INSTANCES[0], *(count for more in INSTANCES[1:] for count in (more, INSTANCES[0])))
"""How many instances are asked one after the other in each round: before and after each number of them it is one."""


@dataclass(slots=True)
class Scaling:
    """Rounds, each in `ORDER`, for each mix of requests; `how` says what held the instances to their share."""

    how: str = ""
    rounds: dict[str, list[list[Result]]] = field(default_factory=dict)

    def rates(self, mix: str) -> dict[int, float]:
        """Requests a second in all rounds."""
        return {count: _rate(found) for count, found in self._by_count(mix).items()}

    def linear(self, mix: str) -> dict[int, float]:
        """What was answered in all rounds as a share of as many times what one did just before and after, among them.

        What instances took beyond their share of the processor is taken off: the scheduler does not hold all alike.
        """
        rounds, found = self.rounds[mix], {INSTANCES[0]: 1.0}
        for place in range(1, len(ORDER), 2):
            one = _held([results[beside] for results in rounds for beside in (place - 1, place + 1)], INSTANCES[0])
            found[ORDER[place]] = _held([results[place] for results in rounds], ORDER[place]) / (ORDER[place] * one)
        return found

    def used(self, mix: str) -> dict[int, float]:
        """What the instances took of the processor time they might have: near 1 where nothing else holds them up."""
        return {count: _used(found, count) for count, found in self._by_count(mix).items()}

    def _by_count(self, mix: str) -> dict[int, list[Result]]:
        found: dict[int, list[Result]] = {count: [] for count in INSTANCES}
        for results in self.rounds[mix]:
            for count, result in zip(ORDER, results, strict=True):
                found[count].append(result)
        return found

    def table(self) -> Sequence[Sequence[str]]:
        head = (f"instances of {PART:g} core ({self.how})", *(f"{count}" for count in INSTANCES), "budget")
        rows: list[Sequence[str]] = [head]
        for mix in self.rounds:
            linear = self.linear(mix)
            least = min(linear.values())
            verdict = (
                f"{SCALE_BUDGET:g} {'holds' if round(least, 3) >= SCALE_BUDGET else 'MISSED'}"
                if mix == MIXES[0]
                else "-"
            )
            rows.append((f"{mix}, {CONNECTIONS} clients each, a second", *_row(self.rates(mix), "{:,.0f}"), ""))
            rows.append(("  as a share of linear", *_row(linear, "{:.0%}"), verdict))
            rows.append(("  used of their processor time", *_row(self.used(mix), "{:.0%}"), ""))
        return rows

    def misses(self) -> list[str]:
        return [
            f"scale-out: {count} instances answer {share:.0%} of {count} times one, less than {SCALE_BUDGET:.0%}"
            for count, share in self.linear(MIXES[0]).items()
            if round(share, 3) < SCALE_BUDGET
        ]

    def document(self) -> dict[str, Any]:
        found = {
            mix: [
                [{"instances": count, "rate": result.rate, "used": _used([result], count)} for count, result in pairs]
                for pairs in (list(zip(ORDER, results, strict=True)) for results in rounds)
            ]
            for mix, rounds in self.rounds.items()
        }
        return {"how": self.how, "part": PART, "budget": SCALE_BUDGET, "rounds": found}

    def drawing(self) -> str:
        """The plot of the first mix, as SVG."""
        title = f"{MIXES[0]} from PostgreSQL a second, instances of {PART:g} core behind nginx"
        return plot(self.rates(MIXES[0]), SCALE_BUDGET, title)


def measure_scaling(directory: Path, cores: Cores, effort: Effort, engines: Engines) -> Scaling:
    """All instances run all the time, held to their share; nginx passes requests to more and more of them.

    PostgreSQL, nginx and the load have the other core, and what the instances leave of theirs. The share of an instance
    that is not asked is taken by a neighbour: one that had the caches of a core to itself would be no measure.
    """
    scaling, ramet, env = Scaling(), Ramet(engines), {"RAMET_DATABASE_POOL": str(POOL)}
    with instances(directory, cores, engines, "scaling", INSTANCES[-1], env) as servers:
        say("filling instances")
        ramet.fill_people(servers[0].port, 2 * CALLERS)
        engines.settle()
        asker = Asker(servers[0].port)
        signed_in = tokens(ramet, asker)
        records, creates = (ramet.requests(kind, signed_in, asker) for kind in ("record", "create"))
        ramet.check("record", records[0], asker)
        asker.close()
        with ExitStack() as stack:
            fronts = {}
            for count in INSTANCES:
                front = fronts[count] = nginx(directory, [server.port for server in servers[:count]], cores)
                stack.callback(front.stop)
            mixed = _mixed(records, creates)
            for server in servers:  # one after the other, with the whole core, each opens its connections
                _load(directory, cores, server, POOL, mixed, WARM_UP)
            shares = [hold(str(number), server.processes(), PART) for number, server in enumerate(servers)]
            stack.callback(_release, shares)
            scaling.how = shares[0].how
            beside = None
            if scaling.how != Turns.how:  # which would wake what is asleep
                beside = stack.enter_context(neighbours(INSTANCES[-1] - 1, cores, PART))
            for mix, requests in zip(MIXES, (records, mixed), strict=True):
                say(f"measuring scale-out: {mix}")
                longer = replace(effort, seconds=LONGER * effort.seconds) if mix == MIXES[0] else effort
                scaling.rounds[mix] = _rounds(directory, cores, longer, servers, fronts, requests, beside)
    return scaling


def _rounds(
    directory: Path,
    cores: Cores,
    effort: Effort,
    servers: Sequence[Server],
    fronts: dict[int, Server],
    requests: Sequence[Request],
    beside: Neighbours | None,
) -> list[list[Result]]:
    found: list[list[Result]] = []
    for turn in range(-1, effort.rounds):
        results = []
        for count in ORDER:
            seconds = effort.seconds if turn >= 0 else effort.warm_up
            if beside is not None:
                beside.wake(INSTANCES[-1] - count)
            before = sum(server.busy() for server in servers[:count])
            result = _load(directory, cores, fronts[count], count * CONNECTIONS, requests, seconds)
            busy = sum(server.busy() for server in servers[:count]) - before
            results.append(replace(result, busy=busy))
        if turn >= 0:
            found.append(results)
    if beside is not None:
        beside.wake(0)
    return found


def _rate(results: Sequence[Result]) -> float:
    """Requests a second in all of them."""
    return sum(result.requests for result in results) / sum(result.seconds for result in results)


def _held(results: Sequence[Result], count: int) -> float:
    """Requests a second of so many instances, without what they answered beyond their share of the processor."""
    return _rate(results) / max(1.0, _used(results, count))


def _used(results: Sequence[Result], count: int) -> float:
    """What so many instances took of the processor time that is their share."""
    return sum(result.busy for result in results) / sum(result.seconds for result in results) / count / PART


def _load(
    directory: Path, cores: Cores, server: Server, connections: int, requests: Sequence[Request], seconds: float
) -> Result:
    file = directory / "scaling.requests"
    write_requests(file, requests, server.port)
    line = command(file, server.port, connections=connections, seconds=seconds, core=cores.load)
    with Load(line, seconds) as load:
        return load.result()


def _mixed(records: Sequence[Request], creates: Sequence[Request]) -> list[Request]:
    found: list[Request] = []
    for number, create in enumerate(creates):
        found += [records[(number * (WRITES - 1) + step) % len(records)] for step in range(WRITES - 1)]
        found.append(create)
    return found


def _release(shares: Sequence[Share]) -> None:
    for share in shares:
        share.release()


def _row(values: dict[int, float], form: str) -> list[str]:
    return [form.format(values[count]) for count in INSTANCES]
