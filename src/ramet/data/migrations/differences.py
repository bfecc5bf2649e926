"""What differs between a database and the declaration, as steps that are safe or could lose something.

Alembic finds the differences of tables, columns, uniqueness and references. Other indexes follow from the declaration
and are made anew without a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops
from sqlalchemy import Column, Index, MetaData
from sqlalchemy.sql.elements import UnaryExpression

from ramet.data.engine import Engine
from ramet.data.kinds import column_kinds
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.fields.base import Field


class Step(msgspec.Struct, frozen=True):
    """One difference. `text` is a sentence without its full stop; `danger` says what it could lose, if anything.

    `table` is what it changes and `operation` what Alembic does for it: None when the SQL stays the same.
    """

    text: str
    table: str
    operation: Any = None
    danger: str = ""


class Declared:
    """A declaration as migrations compare it."""

    def __init__(self, catalog: Catalog, schema: Schema, engine: Engine) -> None:
        self.kinds = column_kinds(catalog)
        self.metadata = _plain(schema.metadata)
        self._engine = engine
        self._resources: dict[str, ResourceInfo] = {info.table: info for info in catalog}

    def field(self, table: str, column: str) -> Field | None:
        info = self._resources.get(table)
        return info.fields.get(column) if info else None

    def rings(self, table: str) -> Iterator[Step]:
        """References of a new table that can only be made once all tables are, for these refer to each other."""
        if self._engine.dialect.supports_alter:
            for constraint in self.metadata.tables[table].foreign_key_constraints:
                if constraint.use_alter:
                    (column,), (element,) = constraint.columns, constraint.elements
                    target = element.target_fullname.partition(".")[0]
                    operation = ops.CreateForeignKeyOp(constraint.name, table, target, [column.name], ["id"])
                    yield Step(f"{table}.{column.name} refers to {target}", table, operation)

    def constant(self, field: Field) -> str | None:
        """The stored form of the default that existing rows get; None when there is none, or not the same for all."""
        if field.required:
            return None
        first, second = field.initial(), field.initial()
        if first != second or first is None:
            return None
        bind = self._engine.codec_of(field).bind
        return str(first if bind is None else bind(first))


def find_steps(context: MigrationContext, declared: Declared, kinds: Mapping[str, str]) -> list[Step]:
    """Every step from the database of `context` to the declaration. `kinds` are those of the database."""
    script = produce_migrations(context, declared.metadata)
    steps: list[Step] = []
    if script.upgrade_ops is not None:
        operations = script.upgrade_ops.ops
        new = frozenset(one.table_name for one in operations if isinstance(one, ops.CreateTableOp))
        steps = [step for operation in operations for step in _read(operation, declared, new)]
    retyped = {f"{step.table}.{step.operation.column_name}" for step in steps if _retypes(step.operation)}
    for column, kind in declared.kinds.items():
        before = kinds.get(column, kind)
        if before != kind and column not in retyped:
            text = f"the values of {column} change from {before} to {kind}"
            steps.append(Step(text, column.partition(".")[0], danger="what is stored would be read wrongly"))
    return steps


def carry_out(operations: Operations, steps: list[Step]) -> None:
    """Run the steps, those of one table together."""
    tables: dict[str, list[Any]] = {}
    for step in steps:
        if isinstance(step.operation, ops.CreateTableOp):
            operations.invoke(step.operation)
        elif step.operation is not None:
            tables.setdefault(step.table, []).append(step.operation)
    for table, changes in tables.items():
        with operations.batch_alter_table(table) as batch:
            for change in changes:
                batch.invoke(change)


def as_operations(steps: list[Step]) -> ops.UpgradeOps:
    """The steps as Alembic writes them into a revision: tables are dropped last, when no other refers to them."""
    found: list[Any] = []
    tables: dict[str, ops.ModifyTableOps] = {}
    for step in steps:
        if isinstance(step.operation, ops.CreateTableOp):
            found.append(step.operation)
        elif isinstance(step.operation, ops.DropTableOp):
            continue
        elif step.operation is not None:
            if step.table not in tables:
                tables[step.table] = ops.ModifyTableOps(step.table, [])
                found.append(tables[step.table])
            tables[step.table].ops.append(step.operation)
    return ops.UpgradeOps([*found, *_drops(steps)])


def _drops(steps: list[Step]) -> Iterator[Any]:
    """What drops tables, in an order in which none goes that another one still refers to."""
    waiting = {step.table: step.operation for step in steps if isinstance(step.operation, ops.DropTableOp)}
    references = {table: list(_references(operation)) for table, operation in sorted(waiting.items())}
    while references:
        targets = {target for found in references.values() for _, target in found}
        free = [table for table in references if table not in targets]
        for table in free:
            del references[table]
            yield waiting[table]
        if not free:  # some refer to each other
            table = next(table for table, found in references.items() if any(one in references for _, one in found))
            ending = sorted(name for name, target in references[table] if target in references)
            yield ops.ModifyTableOps(table, [ops.DropConstraintOp(name, table, type_="foreignkey") for name in ending])
            references[table] = []


def _references(operation: ops.DropTableOp) -> Iterator[tuple[str, str]]:
    """The name and the target of each reference to another table."""
    for constraint in operation.to_table().foreign_key_constraints:
        target = constraint.elements[0].target_fullname.rpartition(".")[0]
        if target != operation.table_name:
            yield str(constraint.name), target


def _plain(metadata: MetaData) -> MetaData:
    """A copy without the indexes that have no step; the unique ones without directions, which are not reflected."""
    copy = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(copy)
    for table in copy.tables.values():
        unique = [index for index in table.indexes if index.unique]
        table.indexes.clear()
        for index in unique:
            columns = [_column_of(part) for part in index.expressions]
            Index(index.name, *(table.c[column.name] for column in columns), unique=True)
    return copy


def _column_of(part: Any) -> Any:
    """The column of an index's key, without its directions."""
    while isinstance(part, UnaryExpression):
        part = part.element
    return part


def _retypes(operation: Any) -> bool:
    return isinstance(operation, ops.AlterColumnOp) and operation.modify_type is not None


def _read(operation: Any, declared: Declared, new: frozenset[str]) -> Iterator[Step]:
    """The steps of an operation. `new` are tables, and columns that may be empty, made in the same go."""
    if isinstance(operation, ops.ModifyTableOps):
        added = {
            f"{operation.table_name}.{one.column.name}"
            for one in operation.ops
            if isinstance(one, ops.AddColumnOp) and one.column.nullable
        }
        for inner in operation.ops:
            yield from _read(inner, declared, new | added)
        return
    table = str(getattr(operation, "table_name", None) or getattr(operation, "source_table", ""))
    match operation:
        case ops.CreateTableOp():
            yield Step(f"table {table} is made", table, operation)
            yield from declared.rings(table)
        case ops.DropTableOp():
            yield Step(f"table {table} is dropped", table, operation, "its rows would be lost")
        case ops.AddColumnOp():
            yield _addition(table, operation.column, declared)
        case ops.DropColumnOp():
            name = f"{table}.{operation.column_name}"
            yield Step(f"column {name} is dropped", table, operation, "its values would be lost")
        case ops.AlterColumnOp():
            yield from _alteration(table, operation)
        case ops.CreateIndexOp():
            names = [str(getattr(column, "name", column)) for column in operation.columns]
            fresh = table in new or any(f"{table}.{name}" in new for name in names)
            danger = "" if fresh else "existing rows may have the same values"
            yield Step(f"{table} becomes unique by {', '.join(names)}", table, operation, danger)
        case ops.DropIndexOp():
            yield Step(f"unique index {operation.index_name} is dropped", table, operation)
        case ops.CreateForeignKeyOp():
            name = f"{table}.{operation.local_cols[0]}"
            danger = "" if name in new else "existing rows may refer to nothing"
            yield Step(f"{name} refers to {operation.referent_table}", table, operation, danger)
        case ops.DropConstraintOp():
            yield Step(f"constraint {operation.constraint_name} of {table} is dropped", table, operation)
        case _:
            yield Step(f"{table}: {type(operation).__name__}", table, operation, "it is not known to be safe")


def _addition(table: str, column: Column[Any], declared: Declared) -> Step:
    field = declared.field(table, column.name)
    default = None if column.nullable or field is None else declared.constant(field)
    added: Column[Any] = Column(column.name, column.type, nullable=column.nullable, server_default=default)
    unknown = not column.nullable and default is None
    danger = "existing rows would have no value" if unknown else ""
    return Step(f"column {table}.{column.name} is added", table, ops.AddColumnOp(table, added), danger)


def _alteration(table: str, operation: ops.AlterColumnOp) -> Iterator[Step]:
    name = f"{table}.{operation.column_name}"
    if operation.modify_type is not None:
        text = f"column {name} changes from {operation.existing_type} to {operation.modify_type}"
        yield Step(text, table, operation, "values may not survive it")
    elif operation.modify_nullable is False:
        yield Step(f"column {name} must have a value", table, operation, "existing rows may have none")
    else:
        yield Step(f"column {name} may be empty", table, operation)
