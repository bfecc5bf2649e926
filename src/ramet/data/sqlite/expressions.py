"""SQL expressions that only this engine writes this way."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, TextClause, bindparam, func, text
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from ramet.data.schema import ROW
from ramet.declare.catalog import ResourceInfo

DIALECT = SQLiteDialect(paramstyle="qmark")
_WORD = re.compile(r"\w+", re.UNICODE)


def ordered(column: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    """A column as a key of an order or an index."""
    return column.desc() if descending else column


def contains(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether the text contains the parameter `name`, which is folded, whatever the case."""
    return func.instr(func.ramet_fold(column), bindparam(name)) > 0


def starts(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether the text starts with the parameter `name`, which is folded, whatever the case."""
    return func.substr(func.ramet_fold(column), 1, func.length(bindparam(name))) == bindparam(name)


def matches(info: ResourceInfo, name: str) -> TextClause:
    """Whether the full-text index of a resource matches the parameter `name`, made by `search_terms`."""
    index = f"{info.table}_fts"
    return text(f"{info.table}.{ROW} IN (SELECT rowid FROM {index} WHERE {index} MATCH :{name})")


def search_terms(text: str) -> str:
    """A full-text query in which every word must occur, the last one as a prefix. Nothing in `text` is syntax."""
    words = _WORD.findall(text)
    return " ".join(f'"{word}"' for word in words[:-1]) + (f' "{words[-1]}"*' if words else '""')
