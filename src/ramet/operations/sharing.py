"""What an application shares with other instances through Redis: answers and hints. Nothing where there is no Redis.

An embedded database has no other instances: its processes share what they need on the machine.
"""

from __future__ import annotations

import hashlib
import time
from importlib import import_module
from importlib.metadata import version
from typing import Any

from ramet.cache.shared import SharedCache
from ramet.changes.follower import Follower
from ramet.data.store import Store
from ramet.declare.catalog import Catalog
from ramet.identity.keys import derive
from ramet.limits.counters import Instances, counters_of
from ramet.observe import Observer
from ramet.settings import Settings


class Sharing:
    """`connection` is the way to Redis and `answers` the shared cache; both None where there is none.

    `counters` are those of the limits: of this machine, or of all instances.
    """

    def __init__(self, settings: Settings, store: Store, catalog: Catalog, root: bytes, observer: Observer) -> None:
        self.connection: Any = None
        self.answers: SharedCache | None = None
        feed = store.feed
        if not isinstance(feed, Follower):
            self.counters = counters_of(settings)
            return
        if settings.redis_url:
            self._connect(settings, store, feed, catalog, root, observer)
        others = Instances(self.connection, store, store.incarnation, time.monotonic_ns, store.units, observer)
        self.counters = counters_of(settings, others)

    def _connect(
        self, settings: Settings, store: Store, feed: Follower, catalog: Catalog, root: bytes, observer: Observer
    ) -> None:
        # Only who has a Redis pays for its driver.
        driver = import_module("ramet.redis.connection")
        self.connection = driver.Connection(
            settings.redis_url, observer, timeout=settings.redis_timeout, connections=settings.redis_pool
        )
        feed.hint_by(import_module("ramet.redis.hints").RedisHints(self.connection, store.incarnation))
        if settings.shared_answer_size:
            self.answers = SharedCache(
                self.connection,
                feed,
                derive(root, "shared answers"),
                f"{store.incarnation} {declaration(catalog)}",
                limit=settings.shared_answer_size,
                longest=min(3_600.0, settings.changes_retention / 2),
                now=time.time,
            )
            feed.subscribe(self.answers.apply, self.answers.clear)

    async def start(self) -> None:
        """To be called when the feed has started. A Redis that does not answer is waited for in the background."""
        try:
            if self.connection is not None:
                await self.connection.start()
            await self.counters.start()
            if self.answers is not None:
                await self.answers.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self.answers is not None:
            await self.answers.stop()
        await self.counters.stop()
        if self.connection is not None:
            await self.connection.stop()

    def trouble(self) -> dict[str, str]:
        """What is wrong with each part, empty when nothing is."""
        if self.connection is None:
            return {}
        found = "" if self.connection.available else f"{self.connection.trouble} Instances answer without it."
        return {"redis": found}


def declaration(catalog: Catalog) -> str:
    """Differs for applications that would show a record differently, of whatever version."""
    lines = [version("ramet")]
    for info in catalog:
        lines.append(f"{info.name} {info.table} {info.sort} {info.search} {info.cache}")
        # A caller's key holds what the rules of its fields say of it, but not which fields they are of.
        lines += [f"{name} {rule!r}" for name, rule in sorted(info.access.fields.items())]
        lines += [
            f"{name} {field.kind} {field.optional} {field.marks.hidden} {field.schema()}"
            for name, field in info.fields.items()
        ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
