"""Which steps of a revision the application's older code would not survive while both run.

Expand first (add what may be empty or has a default), contract later (drop what nobody uses any more): then old and
new code can run side by side. This reads the revision's text; what `op.execute` does is the team's to judge.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_RENAMED = "older code still uses the old name: add the new one, copy, and drop the old one in a later revision"
_WHY = {
    "drop_table": "older code still reads and writes the table",
    "rename_table": _RENAMED,
    "drop_column": "older code still reads the column: deploy code that does not use it first",
    "create_foreign_key": "older code may still store what it forbids",
    "create_check_constraint": "older code may still store what it forbids",
    "create_unique_constraint": "older code may still store what it forbids",
}


class Finding(NamedTuple):
    """A step that is not safe beside older code: its line and what would happen."""

    line: int
    step: str
    why: str


def lint(path: Path) -> list[Finding]:
    """The findings of one revision file. Raises SyntaxError when it is not Python."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path.name)
    return sorted(
        finding
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        for finding in _judge(node, node.func.attr)
    )


def _judge(call: ast.Call, name: str) -> Iterator[Finding]:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    step = ast.unparse(call)
    if name in _WHY:
        yield Finding(call.lineno, step, _WHY[name])
    elif name == "add_column" and _requires_value(call):
        yield Finding(call.lineno, step, "older code does not fill the column: give it a server_default or allow NULL")
    elif name == "create_index" and _is(named.get("unique"), True):
        yield Finding(call.lineno, step, _WHY["create_unique_constraint"])
    elif name == "alter_column":
        if "new_column_name" in named:
            why = (
                "older code still uses the old name: add the new column, copy, and drop the old one in a later revision"
            )
            yield Finding(call.lineno, step, why)
        if "type_" in named:
            yield Finding(call.lineno, step, "older code still reads and writes the old type")
        if _is(named.get("nullable"), False):
            yield Finding(call.lineno, step, "older code may still store NULL")


def _requires_value(call: ast.Call) -> bool:
    for column in (node for node in ast.walk(call) if isinstance(node, ast.Call)):
        named = {keyword.arg: keyword.value for keyword in column.keywords}
        if _is(named.get("nullable"), False) and _is(named.get("server_default"), None):
            return True
    return False


def _is(node: ast.expr | None, value: object) -> bool:
    """Whether an argument is this constant; an argument left out is None."""
    return value is None if node is None else isinstance(node, ast.Constant) and node.value is value
