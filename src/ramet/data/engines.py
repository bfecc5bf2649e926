"""Which engine serves an address of a database. Only that one's modules, and its driver, are imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ramet.data.engine import Engine
from ramet.data.schema import Schema
from ramet.data.store import Store
from ramet.declare.catalog import Catalog
from ramet.errors import SettingsError
from ramet.observe import Observer
from ramet.settings import Settings

_FOLDERS: Mapping[str, str] = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}
"""The folder of an engine by the scheme of an address. Files of one name do the same for each engine."""


def engine_part(url: str, name: str) -> Any:
    """The module `name` of the engine that serves a database. Raises SettingsError for an address that none serves."""
    folder = _FOLDERS.get(urlsplit(url).scheme)
    if folder is None:
        raise SettingsError(
            "RAMET_DATABASE_URL: expected sqlite:///FILE (or sqlite:////absolute/FILE), or postgresql://HOST/NAME."
        )
    return import_module(f"ramet.data.{folder}.{name}")


def engine_for(url: str) -> Engine:
    """The engine of a database address. Raises SettingsError for one that none serves."""
    engine: Engine = engine_part(url, "engine").ENGINE
    return engine


def prepare_schema(url: str, schema: Schema, catalog: Catalog, revision: str = "") -> bool:
    """Whether the database has the schema, and `revision` if one is given; an embedded one that is new is given it."""
    return bool(engine_part(url, "bootstrap").ensure_schema(url, schema, catalog, revision))


def database_exists(url: str) -> bool:
    """Whether there is something to migrate. Raises SettingsError for an address that cannot be used."""
    return bool(engine_part(url, "bootstrap").exists(url))


def open_store(
    settings: Settings,
    schema: Schema,
    catalog: Catalog,
    observer: Observer,
    now: Callable[[], int],
) -> Store:
    """A store on the database. `now` gives microseconds. Its feed learns of its commits at once."""
    store: Store = engine_part(settings.database_url, "store").open_store(settings, schema, catalog, observer, now)
    return store
