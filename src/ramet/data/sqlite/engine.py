"""This engine's part of building SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, ColumnElement, Integer, Table, cast, func, select
from sqlalchemy.sql.schema import SchemaItem

from ramet.data.sqlite import expressions, values


class SqliteEngine:
    """See `ramet.data.engine.Engine`."""

    dialect = expressions.DIALECT
    codec_of = staticmethod(values.codec_of)
    column_type = staticmethod(values.column_type)
    row_number = Integer()
    migrates_at_start = True
    logged = None
    ordered = staticmethod(expressions.ordered)
    unique_key = staticmethod(expressions.ordered)
    contains = staticmethod(expressions.contains)
    starts = staticmethod(expressions.starts)
    matches = staticmethod(expressions.matches)
    search_terms = staticmethod(expressions.search_terms)
    moment = staticmethod(values.moment)

    @staticmethod
    def log_parts() -> Sequence[SchemaItem]:
        return ()

    @staticmethod
    def come_through(changes: Table, followers: Table) -> ColumnElement[bool]:
        lowest = select(func.min(cast(followers.c.position, BigInteger))).scalar_subquery()
        return changes.c.seq <= func.coalesce(lowest, changes.c.seq)


ENGINE = SqliteEngine()
