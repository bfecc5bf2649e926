"""This engine's part of building SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Index, Table, func, literal_column, not_, select, text
from sqlalchemy.sql.schema import SchemaItem

from ramet.data.postgres import expressions, values


class PostgresEngine:
    """See `ramet.data.engine.Engine`."""

    dialect = expressions.DIALECT
    codec_of = staticmethod(values.codec_of)
    column_type = staticmethod(values.column_type)
    row_number = BigInteger()
    migrates_at_start = False
    logged = staticmethod(expressions.logged)
    ordered = staticmethod(expressions.ordered)
    unique_key = staticmethod(expressions.unique_key)
    contains = staticmethod(expressions.contains)
    starts = staticmethod(expressions.starts)
    matches = staticmethod(expressions.matches)
    search_terms = staticmethod(expressions.search_terms)
    moment = staticmethod(values.moment)

    @staticmethod
    def log_parts() -> Sequence[SchemaItem]:
        """The transaction of each row: followers go by it, for the order of `seq` is not that of commits."""
        xid: Column[Any] = Column(
            "xid", values.TransactionId(), nullable=False, server_default=text("pg_current_xact_id()")
        )
        # Rows lie in the order of time, more or less: the small index is enough for those of the last minutes.
        at = Index("ix_ramet_changes_at", "at", postgresql_using="brin")
        return (xid, Index("ix_ramet_changes_xid", "xid"), at)

    @staticmethod
    def come_through(changes: Table, followers: Table) -> ColumnElement[bool]:
        """A bookmark begins with the snapshot that its follower has come through."""
        seen: Any = func.split_part(followers.c.position, " ", 1).op("::")(literal_column("pg_snapshot"))
        shown = func.pg_visible_in_snapshot(changes.c.xid, seen)
        return not_(select(literal_column("1")).select_from(followers).where(not_(shown)).exists())


ENGINE = PostgresEngine()
