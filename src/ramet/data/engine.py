"""What an engine supplies beside its store: its dialect, its column types and the expressions it writes its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, TextClause
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.schema import SchemaItem, Table
from sqlalchemy.types import TypeEngine

from ramet.data.codec import Codec
from ramet.data.statement import Statement
from ramet.declare.catalog import ResourceInfo
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
    def row_number(self) -> TypeEngine[Any]:
        """The SQL type of numbers that the engine gives to rows."""

    @property
    def log_parts(self) -> Callable[[], Sequence[SchemaItem]]:
        """Columns and indexes that the engine's change log has of its own."""

    @property
    def logged(self) -> Callable[[Statement, ResourceInfo], Statement | None] | None:
        """Makes a statement that changes one record log that too, as `Store.change` runs it; None for what it cannot.

        An engine that is asked without a round trip has no use for it.
        """

    @property
    def come_through(self) -> Callable[[Table, Table], ColumnElement[bool]]:
        """Whether every durable follower (second table) has come through a row of the log (first table)."""

    @property
    def migrates_at_start(self) -> bool:
        """Whether a server makes safe additions to the schema by itself: nobody else uses an embedded database."""

    @property
    def ordered(self) -> Callable[[ColumnElement[Any], bool], ColumnElement[Any]]:
        """A column as a key of an order or of an index for it, descending or not: null comes before every value."""

    @property
    def unique_key(self) -> Callable[[ColumnElement[Any], bool], ColumnElement[Any]]:
        """A column as a key of a unique index, descending or not."""

    @property
    def contains(self) -> Callable[[ColumnElement[Any], str], ColumnElement[bool]]:
        """Whether a text column contains a parameter, whatever the case."""

    @property
    def starts(self) -> Callable[[ColumnElement[Any], str], ColumnElement[bool]]:
        """Whether a text column starts with a parameter, whatever the case."""

    @property
    def matches(self) -> Callable[[ResourceInfo, str], TextClause]:
        """Whether the full-text index of a resource matches a parameter made by `search_terms`."""

    @property
    def search_terms(self) -> Callable[[str], str]: ...

    @property
    def moment(self) -> Callable[[int], Any]:
        """Microseconds since 1970 as a date-time column stores them."""
