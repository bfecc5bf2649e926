"""A declaration laid out for one engine: its tables, and its rules as conditions on them."""

from __future__ import annotations

from typing import NamedTuple

from ramet.data.columns import StoredColumns
from ramet.data.engine import Engine
from ramet.data.engines import engine_for
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog
from ramet.operations.authority import Authority


class Layout(NamedTuple):
    """Pure: it knows of no database."""

    engine: Engine
    schema: Schema
    authority: Authority


def lay_out(catalog: Catalog, url: str) -> Layout:
    """The layout for the engine that serves `url`. Raises SettingsError when there is none."""
    engine = engine_for(url)
    schema = Schema(catalog, engine)
    return Layout(engine, schema, Authority(catalog, StoredColumns(catalog, schema, engine)))
