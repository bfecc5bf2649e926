"""A worker process for the tests: counts requests and answers for all workers, as told on standard input."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ramet.observe import RequestDone
from ramet.operate.exporter import Exporter
from ramet.operate.metrics import Metrics


async def work(directory: Path, name: str) -> None:
    metrics = Metrics(["tasks.list"])
    metrics.gauge("ramet_in_flight", "Requests in flight.", lambda: 5)
    metrics.gauge("ramet_log_lag_seconds", "Behind the log.", lambda: float(name), merge="max")
    exporter = Exporter(metrics, directory=directory, worker=name, fresh=0.0)
    await exporter.start()
    answer("ready")
    while True:
        command, _, argument = (await asyncio.to_thread(sys.stdin.readline)).strip().partition(" ")
        if command == "count":
            done = RequestDone("tasks.list", "GET", "/", 200, 0.001, 1, "near", None, "", "", "", "")
            for _ in range(int(argument)):
                metrics.request(done)
            answer("counted")
        elif command == "scrape":
            body, _ = await exporter.scrape()
            answer(body.hex())
        elif command == "stop":
            await exporter.stop()
            answer("stopped")
            return


def answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))
