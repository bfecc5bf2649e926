"""How resources are stored, for rules that become SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy.sql.schema import Table

from ramet.data.codec import Codec
from ramet.data.engine import Engine
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog


class StoredResource:
    """One resource's table, and its values as stored."""

    def __init__(self, table: Table, codecs: dict[str, Codec]) -> None:
        self.table = table
        self._codecs = codecs

    def bind(self, field: str, value: Any, /) -> Any:
        convert = self._codecs[field].bind
        return value if value is None or convert is None else convert(value)


class StoredColumns:
    """Every resource's table, by class name."""

    def __init__(self, catalog: Catalog, schema: Schema, engine: Engine) -> None:
        self._resources = {
            info.name: StoredResource(
                schema.tables[info.name], {name: engine.codec_of(field) for name, field in info.fields.items()}
            )
            for info in catalog
        }

    def __call__(self, resource: str) -> StoredResource:
        return self._resources[resource]
