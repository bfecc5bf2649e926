"""What the parts of an application say of themselves: figures for metrics, checks for readiness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ramet.limits.overload import InFlight
from ramet.operate.health import Check, Part
from ramet.operate.watch import Gauges
from ramet.operations.core import Core


class Streams(Protocol):
    """The open streams."""

    def pending(self) -> int: ...


def figures(core: Core, in_flight: InFlight, streams: Streams) -> Gauges:
    """Queue lengths, sizes and counts by metric name."""
    shared = core.sharing.answers
    more: Gauges = {}
    if shared is not None:
        more = {
            "ramet_shared_cache_fills": ("Answers on their way to the shared cache.", shared.filling),
            "ramet_shared_cache_refused": ("Shared answers that were older than this process.", lambda: shared.refused),
            "ramet_redis_failures": ("Calls to Redis that failed.", lambda: core.sharing.connection.failed),
        }
    return {
        **more,
        "ramet_in_flight": ("Requests being worked on.", lambda: in_flight.current),
        "ramet_write_queue": ("Writes waiting for the writer.", lambda: core.store.waiting),
        "ramet_near_cache_bytes": ("Bytes in the near cache.", lambda: core.near.bytes),
        "ramet_near_cache_entries": ("Answers in the near cache.", lambda: len(core.near)),
        "ramet_record_cache_bytes": ("Bytes of records' JSON kept by version.", lambda: core.records.bytes),
        "ramet_stream_pending_bytes": ("Bytes on their way to streams that are behind.", streams.pending),
        "ramet_log_position": ("Place in the change log that this process has applied.", lambda: core.feed.seq),
    }


def checks(core: Core) -> Mapping[str, Check]:
    """The parts without which no request can be answered."""

    async def database() -> Part:
        try:
            await core.store.ping()
        except Exception as error:
            return Part(False, f"The database does not answer ({type(error).__name__}). Look at it and its disk.")
        return Part(True)

    def log() -> Part:
        if core.feed.sync():
            return Part(True)
        return Part(False, "The change log cannot be read, so no cache is used. Look at the database.")

    return {"database": database, "change log": log}


def copies(core: Core) -> Mapping[str, Check]:
    """The parts without which reads are only slower."""

    def troubles() -> Mapping[str, str]:
        return {**core.store.copies(), **core.sharing.trouble()}

    def check(name: str) -> Check:
        def look() -> Part:
            trouble = troubles()[name]
            return Part(not trouble, trouble)

        return look

    return {name: check(name) for name in troubles()}
