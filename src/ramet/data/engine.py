"""What an engine must supply beside its store: its dialect, its column types and the expressions it writes its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import ColumnElement, TextClause
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeEngine

from ramet.data.codec import Codec
from ramet.declare.fields.base import Field


class Engine(Protocol):
    """Pure: builds SQL and converts values, runs nothing."""

    dialect: Dialect
    codec_of: Callable[[Field], Codec]
    column_type: Callable[[Field], TypeEngine[Any]]
    contains: Callable[[ColumnElement[Any], str], ColumnElement[bool]]
    starts: Callable[[ColumnElement[Any], str], ColumnElement[bool]]
    matches: Callable[[str, str], TextClause]
    search_terms: Callable[[str], str]
    moment: Callable[[int], Any]
    """Microseconds since 1970 as a date-time column stores them."""
