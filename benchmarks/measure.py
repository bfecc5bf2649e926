"""Alternates floor, subject and peer in rounds, so that what else the machine does hits all, and keeps medians."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ask import Asker
from benchmarks.load import Load, LoadFailed, Request, Result, command, write_requests
from benchmarks.servers import Cores, Server, Weight, processor_time
from benchmarks.subjects import Subject, start_floor, tokens
from benchmarks.works import NOISE, SIGN_INS, TRIES, WORKS, Effort, Work

FLOOR, TURNS = "floor", "floor in turns"


@dataclass(frozen=True, slots=True)
class Series:
    """The rounds of one server at one work, and their medians: `rate` per second, `p50` and `p99` in milliseconds."""

    results: Sequence[Result]

    @property
    def rate(self) -> float:
        return median(result.rate for result in self.results)

    @property
    def p50(self) -> float:
        return median(result.p50 for result in self.results)

    @property
    def p99(self) -> float:
        return median(result.p99 for result in self.results)

    @property
    def latency(self) -> str:
        """p50 and p99, for people."""
        return f"{self.p50:.2f} / {self.p99:.2f}"

    @property
    def others(self) -> float:
        """The largest share of one core that other programs took during a round."""
        return max(result.others / result.seconds for result in self.results)

    @property
    def cost(self) -> float:
        """Microseconds of processor time for each request: less shaken by other programs than the rate."""
        return median(result.busy / result.requests * 1e6 for result in self.results)

    def document(self) -> dict[str, Any]:
        """All of it, every round included."""
        rounds = [{**asdict(one), "rate": one.rate} for one in self.results]
        return {"rate": self.rate, "p50": self.p50, "p99": self.p99, "cost": self.cost, "rounds": rounds}


@dataclass(frozen=True, slots=True)
class Measured:
    """One work: its series by server name (`floor` among them) and the size in bytes of the answer's body."""

    work: Work
    size: int
    series: dict[str, Series]

    def ratio(self, name: str, to: str = FLOOR) -> float:
        """The rate of one server as a multiple of another's."""
        return self.series[name].rate / self.series[to].rate

    def spread(self, name: str, to: str = FLOOR) -> tuple[float, float]:
        """The lowest and the highest ratio of any one round."""
        pairs = zip(self.series[name].results, self.series[to].results, strict=True)
        ratios = [mine.rate / other.rate for mine, other in pairs]
        return min(ratios), max(ratios)


@dataclass(frozen=True, slots=True)
class Storm:
    """Cached lists of one server alone and beside SIGN_INS clients that sign in without a pause, and those sign-ins."""

    alone: Series
    beside: Series
    sign_ins: Series


@dataclass(frozen=True, slots=True)
class Entrant:
    """One server in the rounds of a work, what it is sent, and how many bytes the body of its answer has."""

    name: str
    server: Server
    requests: Sequence[Request]
    size: int


@dataclass(slots=True)
class Stand:
    """The servers of a run, started and filled; a floor comes and goes with each work.

    `engines_time` is what the databases that belong to the run have taken so far: these are not other programs.
    """

    directory: Path
    cores: Cores
    effort: Effort
    engines_time: Callable[[], float] = lambda: 0.0
    running: list[tuple[Subject, Server]] = field(default_factory=list)

    def load(self, server: Server, file: Path, connections: int, seconds: float) -> Load:
        line = command(file, server.port, connections=connections, seconds=seconds, core=self.cores.load)
        return Load(line, seconds)

    def run(self, server: Server, file: Path, connections: int, seconds: float) -> Result:
        before = server.busy(), self._all_but_us()
        with self.load(server, file, connections, seconds) as load:
            result = load.result()
        busy, all_but_us = server.busy() - before[0], self._all_but_us() - before[1]
        return replace(result, busy=busy, others=max(0.0, all_but_us - busy))

    def _all_but_us(self) -> float:
        return processor_time() - _own_time() - self.engines_time()

    def prepare(self, name: str, server: Server, requests: Sequence[Request]) -> Path:
        file = self.directory / f"{name}.requests"
        write_requests(file, requests, server.port)
        return file

    def measure(self, work: Work) -> Measured:
        """Rounds of every server at one work. The floors get the first subject's requests and answer as many bytes."""
        entrants = self._entrants(work)
        first = entrants[0]
        with ExitStack() as floors:
            for name in (TURNS, FLOOR):
                floor = start_floor(first.size, self.directory, self.cores, turns=name == TURNS)
                floors.callback(floor.stop)
                entrants.insert(0, Entrant(name, floor, first.requests, first.size))
            series = self._rounds(work, entrants)
        return Measured(work, first.size, series)

    def compare(self, work: Work) -> Measured:
        """Rounds of every subject at one work, without a floor."""
        entrants = self._entrants(work)
        return Measured(work, entrants[0].size, self._rounds(work, entrants))

    def _entrants(self, work: Work) -> list[Entrant]:
        entrants = []
        for subject, server in self.running:
            asker = Asker(server.port)
            requests = subject.requests(work.kind, tokens(subject, asker), asker)
            size = len(subject.check(work.kind, requests[0], asker).body)
            asker.close()
            entrants.append(Entrant(subject.name, server, requests, size))
        return entrants

    def _rounds(self, work: Work, entrants: Sequence[Entrant]) -> dict[str, Series]:
        files = {entrant.name: self.prepare(entrant.name, entrant.server, entrant.requests) for entrant in entrants}
        for entrant in entrants:
            self.run(entrant.server, files[entrant.name], work.connections, self.effort.warm_up)
        results: dict[str, list[Result]] = {entrant.name: [] for entrant in entrants}
        for turn in range(self.effort.rounds):
            first = turn % len(entrants)
            for entrant in [*entrants[first:], *entrants[:first]]:
                results[entrant.name].append(self._round(entrant, files[entrant.name], work.connections))
        return {name: Series(found) for name, found in results.items()}

    def _round(self, entrant: Entrant, file: Path, connections: int) -> Result:
        """One round, the quietest of those it took to find one that other programs left alone."""
        tried: list[Result] = []
        while len(tried) < TRIES:
            tried.append(self._attempt(entrant, file, connections))
            if tried[-1].others <= NOISE * tried[-1].seconds:
                break
        return min(tried, key=lambda result: result.others)

    def _attempt(self, entrant: Entrant, file: Path, connections: int) -> Result:
        """Load for one round, seen to have carried whole answers and to have been logged."""
        server, name = entrant.server, entrant.name
        server.empty_log()
        result = self.run(server, file, connections, self.effort.seconds)
        if result.bytes_each < 0.9 * entrant.size:
            raise LoadFailed(f"{name} answered {result.bytes_each:.0f} bytes each, not the {entrant.size} it should")
        if name not in (FLOOR, TURNS) and (lines := server.log_lines(result.requests)) < result.requests:
            raise LoadFailed(f"{name} answered {result.requests} requests but logged {lines}")
        return result

    def storm(self, subject: Subject, server: Server) -> Storm:
        """Rounds of cached lists, alone and beside sign-ins, one after the other."""
        work, seconds = WORKS[0], self.effort.seconds
        asker = Asker(server.port)
        reads = self.prepare("reads", server, subject.requests(work.kind, tokens(subject, asker), asker))
        entries = self.prepare("entries", server, [subject.sign_in(person) for person in range(SIGN_INS)])
        asker.close()
        self.run(server, reads, work.connections, self.effort.warm_up)
        alone, beside, sign_ins = [], [], []
        for _ in range(self.effort.rounds):
            server.empty_log()
            alone.append(self.run(server, reads, work.connections, seconds))
            with self.load(server, entries, SIGN_INS, seconds + 1) as signing:
                beside.append(self.run(server, reads, work.connections, seconds))
                sign_ins.append(signing.result())
        return Storm(Series(alone), Series(beside), Series(sign_ins))

    def start(self, subject: Subject) -> tuple[Server, Weight]:
        """Fills the subject, starts it afresh, asks it for every work once and weighs it."""
        subject.fill(self.directory, self.cores, self.effort.people)
        server = subject.start(self.directory, self.cores)
        self.running.append((subject, server))
        asker = Asker(server.port)
        signed_in = tokens(subject, asker)
        for work in WORKS:
            subject.check(work.name, subject.requests(work.name, signed_in, asker)[0], asker)
        asker.close()
        return server, server.weigh()

    def stop(self) -> None:
        for _, server in self.running:
            server.stop()


def _own_time() -> float:
    """Seconds that this process and what it has waited for, the load generator, have taken."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
