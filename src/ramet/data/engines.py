"""Which engine serves an address of a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from ramet.changes.change import Change
from ramet.data.engine import Engine
from ramet.data.schema import Schema
from ramet.data.sqlite.bootstrap import ensure_schema
from ramet.data.sqlite.connection import database_path
from ramet.data.sqlite.engine import SqliteEngine
from ramet.data.sqlite.store import SqliteStore
from ramet.data.store import Store
from ramet.declare.catalog import Catalog
from ramet.errors import SettingsError
from ramet.observe import Observer
from ramet.settings import Settings

_SQLITE = SqliteEngine()


def engine_for(url: str) -> Engine:
    """The engine of a database address. Raises SettingsError for one that none serves."""
    if urlsplit(url).scheme != "sqlite":
        raise SettingsError("RAMET_DATABASE_URL: expected sqlite:///FILE (or sqlite:////absolute/FILE).")
    return _SQLITE


def prepare_schema(url: str, schema: Schema, catalog: Catalog, revision: str = "") -> bool:
    """Makes the schema in a new database; whether the database then has it, and `revision` if one is given."""
    return ensure_schema(database_path(url), schema, catalog, revision)


def open_store(
    settings: Settings, observer: Observer, now: Callable[[], int], committed: Callable[[Sequence[Change]], None]
) -> Store:
    """Opens the database, whose schema is up to date. `now` gives microseconds since 1970.

    `committed` is called after each commit: with all that it logged, or with nothing where that has to be read.
    """
    return SqliteStore(database_path(settings.database_url), settings, observer, now, committed)
