"""`expand=`: records that others refer to, one query for each reference however many rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from ramet.data.statement import Statement
from ramet.data.store import Rows
from ramet.declare.catalog import ResourceInfo
from ramet.operations.core import Core
from ramet.operations.operation import Operation

Fetch = Callable[[Statement, Mapping[str, Any]], Awaitable[Rows]]


class Expansion:
    """Adds `expanded` to records: for each reference the record it names, or null when the caller may not see it."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tags(self, info: ResourceInfo, operation: Operation) -> tuple[str, ...]:
        """The resources that the rules of the targets read."""
        found: list[str] = []
        for name in operation.query.expand:
            target = self._core.catalog.by_name[info.references[name].target]
            found.extend(self._core.authority.permit(target, "read", operation.caller).tags)
        return tuple(found)

    def key(self, info: ResourceInfo, operation: Operation) -> tuple[Any, ...]:
        """Equal for callers who see the same of the targets."""
        targets = [self._core.catalog.by_name[info.references[name].target] for name in operation.query.expand]
        return tuple([self._core.authority.permit(target, "read", operation.caller).key for target in targets])

    async def expand(
        self, info: ResourceInfo, operation: Operation, records: Sequence[Any], fetch: Fetch
    ) -> list[dict[str, Any]]:
        plain = [msgspec.structs.asdict(record) for record in records]
        for record in plain:
            record["expanded"] = {}
        for name in operation.query.expand:
            wanted = {record.get(name) for record in plain}
            targets = await self._load(info.references[name].target, operation, wanted, fetch)
            for record in plain:
                record["expanded"][name] = targets.get(record.get(name, ""))
        return plain

    async def _load(self, target: str, operation: Operation, wanted: set[Any], fetch: Fetch) -> dict[str, Any]:
        ids = sorted(value for value in wanted if value is not None)
        if not ids:
            return {}
        permit = self._core.authority.permit(self._core.catalog.by_name[target], "read", operation.caller)
        if permit.refused:
            return {}
        # Sizes are rounded up to powers of two, so that a few statements serve all.
        size = 1 << (len(ids) - 1).bit_length()
        padded = ids + ids[-1:] * (size - len(ids))
        statement, shape = self._core.reads[target].many_plan("id", size, permit.guard)
        values = {f"v{number}": value for number, value in enumerate(padded)}
        rows = await fetch(statement, {**values, **permit.values})
        return dict(zip([row[-1] for row in rows], shape.wire([row[:-1] for row in rows]), strict=True))
