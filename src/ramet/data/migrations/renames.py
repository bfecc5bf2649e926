"""Renames, which no comparison can tell from a drop and an addition: the team says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alembic.autogenerate import renderers
from alembic.operations import Operations, ops

from ramet.data.migrations.failures import MigrationError

Rename = tuple[str, str]
"""`table` or `table.column`, before and after."""


def read_rename(text: str) -> Rename:
    """`table.old=new` or `old=new`. Raises MigrationError for anything else."""
    old, sign, new = text.partition("=")
    table, dot, column = old.partition(".")
    target = new.rpartition(".")[2]
    if not sign or not table or not target or bool(dot) != bool(column):
        raise MigrationError(f"--rename {text}: write TABLE.COLUMN=NEW for a column, TABLE=NEW for a table.")
    return old, f"{table}.{target}" if dot else target


def as_operation(rename: Rename) -> Any:
    """What Alembic does for it."""
    (table, _, column), (_, _, target) = (part.partition(".") for part in rename)
    if not column:
        return ops.RenameTableOp(table, rename[1])
    return ops.ModifyTableOps(table, [ops.AlterColumnOp(table, column, modify_name=target)])


def carry_out(operations: Operations, renames: Sequence[Rename]) -> None:
    """Rename in the database."""
    for old, new in renames:
        table, _, column = old.partition(".")
        if column:
            operations.alter_column(table, column, new_column_name=new.partition(".")[2])
        else:
            operations.rename_table(old, new)


def renamed(kinds: Mapping[str, str], renames: Sequence[Rename]) -> dict[str, str]:
    """The kinds of columns under their names after the renames."""
    found = dict(kinds)
    for old, new in renames:
        for column in list(found):
            if column == old or column.startswith(f"{old}."):
                found[new + column[len(old) :]] = found.pop(column)
    return found


@renderers.dispatch_for(ops.RenameTableOp)
def _render(context: object, operation: ops.RenameTableOp) -> str:
    """Alembic, which never finds this by comparing, does not write it."""
    return f"op.rename_table({operation.table_name!r}, {operation.new_table_name!r})"
