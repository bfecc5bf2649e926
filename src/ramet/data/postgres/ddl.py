"""Statements that make the schema, full-text indexes included."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import MetaData
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from ramet.data.postgres.expressions import DIALECT, FOLD, LONGEST_WORD, WORDS, words
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog, ResourceInfo

LONGEST_TEXT = 200_000
"""Characters of one record's texts that full-text search looks at: a document of words has a greatest size."""

END_SIGMA, SIGMA = "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
_FOLD = f"""\
CREATE OR REPLACE FUNCTION {FOLD}(text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN replace(
  lower(upper(lower($1 COLLATE "und-x-icu") COLLATE "und-x-icu") COLLATE "und-x-icu"), '{END_SIGMA}', '{SIGMA}')"""
_WORDS = f"""\
CREATE OR REPLACE FUNCTION {WORDS}(text) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_tsvector(ARRAY(
  SELECT DISTINCT left(word, {LONGEST_WORD}) FROM regexp_split_to_table(regexp_replace(
    normalize(lower(left($1, {LONGEST_TEXT}) COLLATE "und-x-icu"), NFD), '[\u0300-\u036f]', '', 'g'
  ) COLLATE "und-x-icu", '[^[:alnum:]]+') AS word WHERE word <> ''))"""


FUNCTIONS = (_FOLD, _WORDS)


def create_statements(metadata: MetaData) -> Iterator[str]:
    """Functions, then tables in the order of their references, each with its indexes; last what closes a ring."""
    yield from FUNCTIONS
    for table in metadata.sorted_tables:
        yield str(CreateTable(table).compile(dialect=DIALECT))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=DIALECT))
    for table in metadata.sorted_tables:
        for constraint in sorted(table.foreign_key_constraints, key=lambda one: str(one.name)):
            if constraint.use_alter:
                yield str(AddConstraint(constraint).compile(dialect=DIALECT))


def search_statements(info: ResourceInfo) -> list[str]:
    """The full-text index of a resource's search fields."""
    if not info.search:
        return []
    return [f"CREATE INDEX ix_{info.table}_search ON {info.table} USING gin ({words(info)})"]


def schema_statements(schema: Schema, catalog: Catalog) -> Iterator[str]:
    """Everything that makes the schema, in order."""
    yield from create_statements(schema.metadata)
    for info in catalog:
        yield from search_statements(info)
