"""Shows the figures of all workers of this machine, whichever of them is asked, in the formats of Prometheus."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from ramet.operate.families import Families, Family, add, exposed, of_worker
from ramet.operate.metrics import Metrics
from ramet.operate.workers import Workers

# The library leaves this one untyped.
_in_openmetrics: Callable[[Collector], bytes] = partial(
    openmetrics.generate_latest,
    escaping=openmetrics.ALLOWUTF8,  # names are plain ASCII anyway; this spares the check of every sign
)

EVERY = 1.0  # seconds between two looks whether there is something to publish
HEARTBEAT = 10  # looks after which memory and CPU are published though nothing was counted
FRESH = 0.25  # seconds for which an answer is given again: asking often must not cost much

_encoder = msgspec.msgpack.Encoder()


class Exporter(Collector):
    """Publishes this process's figures to `directory` and answers for all workers found there.

    Without a directory there is one worker. With one, gauges that do not add up carry the label `worker`: `worker`,
    which no two living workers share, else the process id.
    What one answer has shown is published before it is given, so that no later answer, by whomever, shows less.
    Files are read and written in a thread: a slow disk does not stop the event loop.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        directory: Path | None = None,
        worker: str = "",
        fresh: float = FRESH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._directory = directory
        self._worker = worker or str(os.getpid())
        self._fresh = fresh
        self._clock = clock
        self._workers: Workers | None = None
        self._serial = 0
        self._unpublished = 0
        self._last = b""
        self._looks = 0
        self._loop: asyncio.Task[None] | None = None
        self._answers: dict[bool, tuple[float, bytes]] = {}
        self._asked: dict[bool, asyncio.Task[bytes]] = {}

    async def start(self) -> None:
        """Takes its place among the workers and publishes every second from now on. Raises OSError."""
        if self._directory is not None:
            self._workers = await asyncio.to_thread(Workers, self._directory, self._worker)
            self._loop = asyncio.create_task(self._publish_often(), name="publish figures")

    async def stop(self) -> None:
        """Publishes for the last time; what was counted stays in the sums of the others."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
            self._loop = None
        if self._workers is not None:
            workers, self._workers = self._workers, None
            await asyncio.to_thread(self._publish, workers, *self._take())
            workers.close()

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The figures of all workers as (body, content type): OpenMetrics 1.0 when `accept` names it, else text."""
        modern = _accepts_openmetrics(accept)
        kind = openmetrics.CONTENT_TYPE_LATEST if modern else CONTENT_TYPE_PLAIN_0_0_4
        at, body = self._answers.get(modern, (0.0, b""))
        if body and self._clock() - at < self._fresh:
            return body, kind
        task = self._asked.get(modern)
        if task is None:
            task = self._asked[modern] = asyncio.create_task(self._answer(modern), name="figures")
            task.add_done_callback(lambda _: self._asked.pop(modern, None))
        return await asyncio.shield(task), kind

    def collect(self) -> Iterator[Metric]:
        """For an application that has a prometheus_client registry of its own."""
        return exposed(self._all(*self._take()))

    async def publish(self) -> bool:
        """Publishes if anything was counted since the last time (or after `HEARTBEAT` looks); says whether it did."""
        workers = self._workers
        if workers is None:
            return False
        self._looks += 1
        counted = _encoder.encode(self._metrics.figures())
        if counted == self._last and self._looks < HEARTBEAT:
            return False
        self._last, self._looks = counted, 0
        await asyncio.to_thread(self._publish, workers, *self._take())
        return True

    async def _publish_often(self) -> None:
        while True:
            await self.publish()
            await asyncio.sleep(EVERY)

    async def _answer(self, modern: bool) -> bytes:
        at = self._clock()
        body = await asyncio.to_thread(self._text, *self._take(), modern)
        self._answers[modern] = (at, body)
        return body

    def _take(self) -> tuple[Families, int]:
        """This worker's figures, and a number that says which of two are the later."""
        families = self._metrics.figures() | self._metrics.process()
        families["ramet_unpublished_total"] = Family(
            "counter", "Times the figures could not be written for the other workers.", (), {(): [self._unpublished]}
        )
        families["ramet_workers"] = Family("gauge", "Worker processes that are alive.", (), {(): [1]})
        self._serial += 1
        return families, self._serial

    def _text(self, own: Families, serial: int, modern: bool) -> bytes:
        figures = _Collected(self._all(own, serial))
        return _in_openmetrics(figures) if modern else generate_latest(figures)

    def _all(self, own: Families, serial: int) -> Families:
        workers = self._workers
        if workers is None:
            return own
        self._publish(workers, own, serial)
        total: Families = {}
        add(total, of_worker(own, self._worker))
        try:
            others, gone = workers.others()
        except OSError:
            self._unpublished += 1
            return total
        add(total, gone)
        for other in others:
            add(total, of_worker(other.families, other.worker))
        return total

    def _publish(self, workers: Workers, families: Families, serial: int) -> None:
        try:
            workers.publish(families, serial)
        except OSError:  # a full disk must not hide the figures that would tell of it
            self._unpublished += 1


class _Collected(Collector):
    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return exposed(self._families)


def _accepts_openmetrics(accept: str) -> bool:
    for offer in accept.lower().split(","):
        media, *parameters = (part.strip() for part in offer.split(";"))
        if media == "application/openmetrics-text":
            return not any(parameter.replace(" ", "") in ("q=0", "q=0.0", "q=0.00") for parameter in parameters)
    return False
