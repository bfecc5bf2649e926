"""What an engine supplies beside its store: its dialect, its column types and the expressions it writes its own way."""

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

    @property
    def dialect(self) -> Dialect: ...

    @property
    def codec_of(self) -> Callable[[Field], Codec]:
        """Conversions of a field's values."""

    @property
    def column_type(self) -> Callable[[Field], TypeEngine[Any]]:
        """The SQL type of a field's column."""

    @property
    def contains(self) -> Callable[[ColumnElement[Any], str], ColumnElement[bool]]:
        """Whether a text column contains a parameter, whatever the case."""

    @property
    def starts(self) -> Callable[[ColumnElement[Any], str], ColumnElement[bool]]:
        """Whether a text column starts with a parameter, whatever the case."""

    @property
    def matches(self) -> Callable[[str, str], TextClause]:
        """Whether the full-text index of a table matches a parameter made by `search_terms`."""

    @property
    def search_terms(self) -> Callable[[str], str]: ...

    @property
    def moment(self) -> Callable[[int], Any]:
        """Microseconds since 1970 as a date-time column stores them."""
