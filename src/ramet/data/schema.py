"""The tables of an application: one for each resource, and Ramet's own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

from ramet.data.engine import Engine
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.fields.reference import Reference

ROW = "row_id"
_EQUALITY_KINDS = frozenset({"enumeration", "boolean", "reference"})


class Schema:
    """`tables` by resource name, Ramet's own tables by attribute, all in one `metadata`."""

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self.metadata = MetaData()
        self.changes = _changes(self.metadata, engine)
        self.idempotency = _idempotency(self.metadata)
        self.followers = _followers(self.metadata)
        self.outbox = _outbox(self.metadata)
        self.facts = _facts(self.metadata)
        self.limits = _limits(self.metadata)
        self.tables = {info.name: _table(self.metadata, info, catalog, engine) for info in catalog}

    @property
    def unique(self) -> frozenset[str]:
        """The names of the unique indexes."""
        tables = self.metadata.tables.values()
        return frozenset(str(index.name) for table in tables for index in table.indexes if index.unique)


def _table(metadata: MetaData, info: ResourceInfo, catalog: Catalog, engine: Engine) -> Table:
    # row_id makes the row number explicit, so that full-text indexes survive VACUUM.
    columns: list[Column[Any]] = [Column(ROW, engine.row_number, primary_key=True)]
    for name, field in info.fields.items():
        extra = []
        if isinstance(field, Reference):
            target = catalog.of(field.target)
            # Where tables refer to each other, one is made before the other: its reference is added afterwards.
            ring = target is not info and info.name in _reached(catalog, target)
            extra.append(ForeignKey(f"{target.table}.id", name=f"fk_{info.table}_{name}", use_alter=ring))
        columns.append(Column(name, engine.column_type(field), *extra, nullable=field.optional, unique=name == "id"))
    table = Table(info.table, metadata, *columns)
    for fields, unique in _indexes(info):
        label = "_".join(field[1:] + "_desc" if field.startswith("-") else field for field in fields)
        key = engine.unique_key if unique else engine.ordered
        # Read backwards an index serves as well. The way round in which ids ascend, which are in the order of time, new
        # rows come at the end of a page, and at the end of the index where it has the default order: less is rewritten.
        mirrored = not unique and fields[-1].startswith("-")
        Index(
            f"ix_{info.table}_{label}" + ("_unique" if unique else ""),
            *(key(table.c[field.removeprefix("-")], field.startswith("-") != mirrored) for field in fields),
            unique=unique,
        )
    return table


def _reached(catalog: Catalog, start: ResourceInfo) -> set[str]:
    """The names of all resources that records of `start` refer to, directly or by way of others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for field in waiting.pop().references.values():
            target = catalog.of(field.target)
            if target.name not in found:
                found.add(target.name)
                waiting.append(target)
    return found


def _indexes(info: ResourceInfo) -> list[tuple[tuple[str, ...], bool]]:
    """Declared indexes, those of references, and the ones that serve the default order.

    Each ends with `id`, so that pages are exact. One that ends with a field that is only ever compared for equality is
    continued with the default order: a list filtered by it then comes out sorted, and stops at the end of the page.
    """
    default = tuple(info.sort.split(","))
    wanted = [(tuple(index.fields), index.unique) for index in info.indexes]
    wanted += [((name,), True) for name, field in info.fields.items() if field.marks.unique]
    wanted += [(("owner", *default), False), (default, False)]
    wanted += [((name,), False) for name in info.references]
    found: dict[tuple[tuple[str, ...], bool], None] = {}
    for fields, unique in wanted:
        if not unique:
            if info.fields[fields[-1].lstrip("-")].kind in _EQUALITY_KINDS:
                named = {name.lstrip("-") for name in fields}
                fields = (*fields, *(key for key in default if key.lstrip("-") not in named))
            if fields[-1].lstrip("-") != "id":
                fields = (*fields, "-id" if fields[-1].startswith("-") else "id")
        found[(fields, unique)] = None
    return list(found)


def _changes(metadata: MetaData, engine: Engine) -> Table:
    return Table(
        "ramet_changes",
        metadata,
        Column("seq", engine.row_number, primary_key=True, autoincrement=True),
        Column("at", BigInteger, nullable=False),
        Column("resource", Text, nullable=False),
        Column("record_id", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("owner", Text),
        Column("record", LargeBinary),
        *engine.log_parts(),
        sqlite_autoincrement=True,
    )


def _idempotency(metadata: MetaData) -> Table:
    return Table(
        "ramet_idempotency",
        metadata,
        Column("key", Text, primary_key=True),
        Column("fingerprint", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("status", Integer, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("position", Text, nullable=False),
        Index("ix_ramet_idempotency_at", "at"),
    )


def _followers(metadata: MetaData) -> Table:
    """How far a durable follower (after-commit hooks, the audit trail) has come."""
    return Table(
        "ramet_followers",
        metadata,
        Column("name", Text, primary_key=True),
        Column("position", Text, nullable=False),
    )


def _outbox(metadata: MetaData) -> Table:
    """After-commit hooks that failed and will be tried again."""
    return Table(
        "ramet_outbox",
        metadata,
        Column("key", Text, primary_key=True),
        Column("due", BigInteger, nullable=False, index=True),
        Column("content", LargeBinary, nullable=False),
    )


def _facts(metadata: MetaData) -> Table:
    """What all processes must agree on: the root secret, the signing keys, the log's incarnation."""
    return Table("ramet_facts", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))


def _limits(metadata: MetaData) -> Table:
    """Units of limits that instances count together: how many in which part of the window. In use on servers only."""
    return Table(
        "ramet_limits",
        metadata,
        Column("name", Text, primary_key=True),
        Column("expires", BigInteger, nullable=False),
        Column("cells", Text, nullable=False),
        Index("ix_ramet_limits_expires", "expires"),
    )
