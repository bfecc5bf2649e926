"""Compiled SQL: text and the order of its parameters, kept so that a shape is compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.elements import CompilerElement


class Statement(msgspec.Struct, gc=False):
    """SQL for positional parameters. `fixed` holds the values that the shape itself carries (constants of rules)."""

    sql: str
    order: tuple[str, ...]
    fixed: dict[str, Any]
    costly: bool = False

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The parameters in order, from `values` or, failing that, from the shape."""
        fixed = self.fixed
        if not fixed:
            return tuple([values[name] for name in self.order])
        return tuple([values[name] if name in values else fixed[name] for name in self.order])


def compile_statement(clause: CompilerElement, dialect: Dialect) -> Statement:
    """Compiles once; parameters without a value stay open and are given by name at each run."""
    compiled: Any = clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    order = tuple(compiled.positiontup or ())
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    return Statement(str(compiled), order, fixed)
