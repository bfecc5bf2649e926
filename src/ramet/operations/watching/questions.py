"""Rules that look into other records, asked of the database for many callers in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, bindparam, literal_column, select, union_all
from sqlalchemy.sql import visitors

from ramet.access.bind import Grant, Variant
from ramet.data.statement import Statement, compile_statement
from ramet.operations.core import Core
from ramet.operations.watching.logged import Logged

MOST = 64
"""Callers in one statement."""
REMEMBERED = 500
"""Statements kept."""


class Questions:
    """Asks whether rules hold for a record with given values, stored or not."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._statements: dict[tuple[str, str, int], Statement] = {}

    async def ask(self, grants: Sequence[Grant], logged: Logged) -> list[bool]:
        """The answers for grants whose variants are alike: they differ in the caller only."""
        answers: list[bool] = []
        for start in range(0, len(grants), MOST):
            answers += await self._ask(grants[start : start + MOST], logged)
        return answers

    async def _ask(self, grants: Sequence[Grant], logged: Logged) -> list[bool]:
        variant = grants[0].variant
        width = 1 << (len(grants) - 1).bit_length()  # few statements serve any number
        values: dict[str, Any] = logged.row()
        for place in range(width):
            grant = grants[min(place, len(grants) - 1)]
            values.update({f"{name}_{place}": value for name, value in grant.parameters.items()})
        rows = await self._core.store.fetch(self._statement(variant, width), values)
        met = {row[0] for row in rows}
        return [place in met for place in range(len(grants))]

    def _statement(self, variant: Variant, width: int) -> Statement:
        key = (variant.resource, variant.fingerprint, width)
        found = self._statements.get(key)
        if found is None:
            if len(self._statements) >= REMEMBERED:
                self._statements.clear()
            found = self._statements[key] = self._compile(variant, width)
        return found

    def _compile(self, variant: Variant, width: int) -> Statement:
        table = self._core.reads[variant.resource].table

        def this(name: str) -> ColumnElement[Any]:
            return bindparam(f"this_{name}", type_=table.c[name].type)

        condition = self._core.authority.meaning(variant, this)
        parts = [
            select(literal_column(str(place), Integer)).where(_for_place(condition, variant, place))
            for place in range(width)
        ]
        return compile_statement(parts[0] if width == 1 else union_all(*parts), self._core.engine.dialect)


def _for_place(condition: ColumnElement[bool], variant: Variant, place: int) -> ColumnElement[bool]:
    """The condition with the caller's parameters under names of their own."""

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and element.key in variant.parameters:
            return bindparam(f"{element.key}_{place}", type_=element.type)
        return None

    replaced: ColumnElement[bool] = visitors.replacement_traverse(condition, {}, replace)
    return replaced
