"""What the stored values of each column mean, where the column's SQL type alone does not say it."""

from __future__ import annotations

from collections.abc import Mapping

from ramet.declare.catalog import Catalog
from ramet.declare.fields.decimal import Decimal


def column_kinds(catalog: Catalog) -> Mapping[str, str]:
    """The storage family of every column by `table.column`, with the places of a decimal."""
    return {
        f"{info.table}.{name}": f"decimal({field.places})" if isinstance(field, Decimal) else field.column
        for info in catalog
        for name, field in info.fields.items()
    }
