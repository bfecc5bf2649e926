"""SQL expressions that only this engine writes this way."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, TextClause, bindparam, func, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from ramet.data.statement import Statement
from ramet.declare.catalog import ResourceInfo

FOLD = "ramet_fold"
WORDS = "ramet_words"
LONGEST_WORD = 200
"""Characters of a word that full-text search looks at."""

MOST_FIELDS = 50
"""Fields of a record that the engine makes JSON of: a function takes a hundred arguments."""

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


def logged(statement: Statement, info: ResourceInfo) -> Statement | None:
    """The change of one record and its row of the log in one statement, which makes the record's JSON by itself.

    Its row has what the log's has, but for `at`, and then the record's columns. Its last parameter is `logged_at`.
    """
    if len(info.readable) > MOST_FIELDS:
        return None
    shown = ", ".join(f"'{name}', {_json_of(info, name)}" for name in info.readable)
    columns = ", ".join(f'changed."{name}"' for name in info.fields)
    sql = (
        f"WITH changed AS ({statement.sql}), logged AS ("
        "INSERT INTO ramet_changes (at, resource, record_id, kind, version, owner, record)"
        f" SELECT ${len(statement.order) + 1}::bigint, '{info.name}', id, 'updated', version, owner,"
        f" convert_to(json_build_object({shown})::text, 'UTF8') FROM changed"
        " RETURNING seq, resource, record_id, kind, version, owner, record, xid::text::bigint AS xid)"
        f" SELECT logged.*, {columns} FROM changed, logged"
    )
    return Statement(sql, (*statement.order, "logged_at"), statement.fixed)


def _json_of(info: ResourceInfo, name: str) -> str:
    """A column of `changed` as what JSON shows of it."""
    column = f'changed."{name}"'
    match info.fields[name].column:
        case "datetime":
            return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        case "date":
            return f"to_char({column}, 'YYYY-MM-DD')"
        case "decimal":
            return f"{column}::text"
    return column


def search_terms(text: str) -> str:
    """A full-text query in which every word must occur, the last one as a prefix. Nothing in `text` is syntax."""
    bare = _MARK.sub("", unicodedata.normalize("NFD", text.lower()))
    words = [word[:LONGEST_WORD] for word in _WORD.findall(bare)]
    if not words:
        return ""
    return " & ".join([*(f"'{word}'" for word in words[:-1]), f"'{words[-1]}':*"])
