"""This engine's part of building SQL."""

from __future__ import annotations

from ramet.data.sqlite import expressions, values


class SqliteEngine:
    """See `ramet.data.engine.Engine`."""

    dialect = expressions.DIALECT
    codec_of = staticmethod(values.codec_of)
    column_type = staticmethod(values.column_type)
    contains = staticmethod(expressions.contains)
    starts = staticmethod(expressions.starts)
    matches = staticmethod(expressions.matches)
    search_terms = staticmethod(expressions.search_terms)
    moment = staticmethod(values.moment)
