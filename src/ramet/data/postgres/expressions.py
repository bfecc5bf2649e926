"""SQL expressions that only this engine writes this way."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, TextClause, bindparam, func, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from ramet.declare.catalog import ResourceInfo

FOLD = "ramet_fold"
WORDS = "ramet_words"
LONGEST_WORD = 200
"""Characters of a word that full-text search looks at."""

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_MARK = re.compile("[\u0300-\u036f]")


class Dialect(PGDialect_asyncpg):
    """Writes parameters as `$1` with their types. It never runs anything: the driver does."""

    supports_statement_cache = True


DIALECT: Any = Dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy does not annotate it


def ordered(column: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    """A column as a key of an order or an index. Null comes after every value unless said otherwise."""
    key = column.desc() if descending else column.asc()
    if not getattr(column, "nullable", True):
        return key
    return key.nulls_last() if descending else key.nulls_first()


def unique_key(column: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    """A column as a key of a unique index: its direction means nothing, and would make it differ from what is read."""
    return column


def contains(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether the text contains the parameter `name`, whatever the case."""
    return func.strpos(func.ramet_fold(column), func.ramet_fold(bindparam(name))) > 0


def starts(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether the text starts with the parameter `name`, whatever the case."""
    return func.starts_with(func.ramet_fold(column), func.ramet_fold(bindparam(name)))


def words(info: ResourceInfo) -> str:
    """The words of a resource's search fields: what its full-text index is of."""
    texts = " || ' ' || ".join(f"coalesce({info.table}.\"{field}\", '')" for field in info.search)
    return f"{WORDS}({texts})"


def matches(info: ResourceInfo, name: str) -> TextClause:
    """Whether the full-text index of a resource matches the parameter `name`, made by `search_terms`."""
    return text(f"{words(info)} @@ CAST(:{name} AS tsquery)")


def search_terms(text: str) -> str:
    """A full-text query in which every word must occur, the last one as a prefix. Nothing in `text` is syntax."""
    bare = _MARK.sub("", unicodedata.normalize("NFD", text.lower()))
    words = [word[:LONGEST_WORD] for word in _WORD.findall(bare)]
    if not words:
        return ""
    return " & ".join([*(f"'{word}'" for word in words[:-1]), f"'{words[-1]}':*"])
