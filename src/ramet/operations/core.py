"""The parts that carry operations out, put together once for each running application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, TypeVar

import uuid_utils

from ramet.cache.near import NearCache
from ramet.cache.records import Records
from ramet.changes.feed import Feed
from ramet.data.engine import Engine
from ramet.data.reads import Reads
from ramet.data.schema import Schema
from ramet.data.store import Store
from ramet.data.writes import Writes
from ramet.declare.catalog import Catalog
from ramet.observe import Observer
from ramet.operations.authority import Authority
from ramet.operations.cursors import Cursors
from ramet.operations.sharing import Sharing
from ramet.settings import Settings

T = TypeVar("T")


class Core:
    """What handlers share. `now` gives microseconds since 1970; `parts` are objects that actions ask for by type."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        schema: Schema,
        engine: Engine,
        store: Store,
        near: NearCache,
        sharing: Sharing,
        authority: Authority,
        cursors: Cursors,
        settings: Settings,
        observer: Observer,
        now: Callable[[], int],
        parts: Iterable[Any],
    ) -> None:
        self.catalog = catalog
        self.schema = schema
        self.engine = engine
        self.store = store
        self.feed: Feed = store.feed
        self.near = near
        self.feed.subscribe(near.apply, near.clear)
        self.sharing = sharing
        kept = settings.record_cache_size if store.inline else 0
        self.records = Records(kept, [info.name for info in catalog], monotonic)
        self.feed.subscribe(self.records.apply, self.records.clear)
        self.authority = authority
        self.cursors = cursors
        self.settings = settings
        self.observer = observer
        self.now = now
        self.parts: dict[type[Any], Any] = {type(part): part for part in parts}
        self.reads = {info.name: Reads(info, schema.tables[info.name], engine) for info in catalog}
        self.writes = {info.name: Writes(info, schema.tables[info.name], engine) for info in catalog}

    def moment(self) -> Any:
        """The present as the engine stores it."""
        return self.engine.moment(self.now())

    def new_id(self) -> str:
        """A UUIDv7: unique, and in the order of time."""
        return str(uuid_utils.uuid7())

    def part(self, kind: type[T]) -> T:
        """The application's object of a type, given to `App(parts=[...])` or by Ramet itself."""
        found = self.parts.get(kind)
        if found is None:
            raise LookupError(f"There is no {kind.__name__} in this application: add one to App(parts=[...]).")
        return found  # type: ignore[no-any-return]  # stored under its own type
