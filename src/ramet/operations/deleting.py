"""Deletions: which records go with a record, which stand in its way, and in what order they can leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ramet.access.deciding import decides
from ramet.changes.change import Kind
from ramet.data.store import Rows, Transaction
from ramet.declare.catalog import ResourceInfo
from ramet.declare.fields.reference import Reference
from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.operations.core import Core
from ramet.operations.hooks import Hooks

CASCADE_LIMIT = 10_000
BREATH = 100
"""Rows after which other work of the process gets a turn."""

Key = tuple[str, str]


class _Leaving(msgspec.Struct):
    """A row that will be deleted."""

    info: ResourceInfo
    row: Sequence[Any]


class _Kept(msgspec.Struct):
    """A row that stays, but for its reference to one that leaves."""

    info: ResourceInfo
    reference: Reference
    record_id: str


class Deletion:
    """One record and what depends on it, in an open transaction.

    First all that leaves is found, hooks being asked record by record; then what refers to it and may not is refused;
    then references are emptied and rows deleted, those first that no other one refers to.
    """

    def __init__(self, core: Core, hooks: Hooks, tx: Transaction, caller: Caller) -> None:
        self._core = core
        self._hooks = hooks
        self._tx = tx
        self._caller = caller
        self._leaving: dict[Key, _Leaving] = {}
        self._kept: list[_Kept] = []
        self.log: list[tuple[ResourceInfo, Kind, Sequence[Any]]] = []
        """What changed, in order: resource, kind of change and row."""

    async def run(self, info: ResourceInfo, row: Sequence[Any]) -> None:
        """Raises Problem `still_referenced` or `conflict`, or what a hook raised."""
        await self._find(info, row)
        for leaving in self._leaving.values():
            await self._refuse_blocked(leaving)
        for kept in self._kept:
            if (kept.info.name, kept.record_id) not in self._leaving:
                if decides(self._core.authority.deciding[kept.info.name], (kept.reference.name,)):
                    statement = self._core.reads[kept.info.name].full_plan(None)
                    for row in await self._tx.fetch(statement, {"id": kept.record_id}):
                        self.log.append((kept.info, "before", row))
                for emptied in await self._empty(kept.info, kept.reference, kept.record_id):
                    self.log.append((kept.info, "updated", emptied))
        await self._delete()

    async def _find(self, info: ResourceInfo, row: Sequence[Any]) -> None:
        """Follows references that cascade, breadth first."""
        found = [_Leaving(info, row)]
        self._leaving[info.name, self._id(found[0])] = found[0]
        for number, leaving in enumerate(found):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if leaving.info.hooks_for("before", "delete"):
                record = self._core.reads[leaving.info.name].codec.load(leaving.row)
                await self._hooks.before(self._tx, leaving.info, "delete", record, record, self._caller)
            for child, reference in leaving.info.referenced_by:
                if reference.on_delete == "restrict":
                    continue
                for record_id in await self._pointing(child, reference, leaving, CASCADE_LIMIT):
                    more = await self._follow(child, reference, record_id)
                    if more is not None:
                        found.append(more)

    async def _follow(self, child: ResourceInfo, reference: Reference, record_id: str) -> _Leaving | None:
        key = (child.name, record_id)
        if len(self._leaving) + len(self._kept) >= CASCADE_LIMIT:
            raise Problem("conflict", f"More than {CASCADE_LIMIT} records depend on it; delete some of them first.")
        if reference.on_delete == "null":
            self._kept.append(_Kept(child, reference, record_id))
        elif reference.on_delete == "cascade" and key not in self._leaving:
            statement = self._core.reads[child.name].full_plan(None)
            rows = await self._tx.fetch(statement, {"id": record_id})
            if rows:
                self._leaving[key] = leaving = _Leaving(child, rows[0])
                return leaving
        return None

    async def _refuse_blocked(self, leaving: _Leaving) -> None:
        for child, reference in leaving.info.referenced_by:
            if reference.on_delete == "restrict":
                for record_id in await self._pointing(child, reference, leaving, len(self._leaving)):
                    if (child.name, record_id) not in self._leaving:
                        raise Problem("still_referenced", f"Records of {child.path} refer to it by {reference.name}.")

    async def _delete(self) -> None:
        """Deletes rows that no other one refers to, until none is left. A circle is opened where it may be."""
        targets = {key: self._targets(key, leaving) for key, leaving in self._leaving.items()}
        referrers = Counter(target for pairs in targets.values() for _, target in pairs)
        free = [key for key in targets if not referrers[key]]
        while targets:
            if not free:
                freed = await self._open_circle(targets)
            else:
                key = free.pop()
                await self._delete_one(key)
                freed = [target for _, target in targets.pop(key)]
            for target in freed:
                referrers[target] -= 1
                if not referrers[target]:
                    free.append(target)

    async def _delete_one(self, key: Key) -> None:
        info = self._leaving[key].info
        statement = self._core.writes[info.name].delete(None, False)
        for row in await self._tx.fetch(statement, {"record_id": key[1]}):  # none if a hook has deleted it already
            self.log.append((info, "deleted", row))
        if len(self.log) % BREATH == 0:
            await asyncio.sleep(0)

    async def _open_circle(self, targets: dict[Key, list[tuple[Reference, Key]]]) -> list[Key]:
        """Empties one reference among the rows that are left; the row that it referred to."""
        for key, pairs in targets.items():
            for pair in pairs:
                if pair[0].optional:
                    await self._empty(self._leaving[key].info, pair[0], key[1])
                    pairs.remove(pair)
                    return [pair[1]]
        raise Problem("conflict", "Records refer to each other in a circle and none of the references may be null.")

    def _targets(self, key: Key, leaving: _Leaving) -> list[tuple[Reference, Key]]:
        """The references of a row to other rows that leave."""
        position = self._core.reads[leaving.info.name].codec.position
        pairs = [
            (reference, (reference.target, leaving.row[position[name]]))
            for name, reference in leaving.info.references.items()
        ]
        return [(reference, target) for reference, target in pairs if target in self._leaving and target != key]

    async def _pointing(self, child: ResourceInfo, reference: Reference, to: _Leaving, most: int) -> list[str]:
        """The ids of records that refer to a row, one more than `most` at most."""
        statement = self._core.writes[child.name].pointing_at(reference.name)
        rows = await self._tx.fetch(statement, {"target": self._id(to), "limit": most + 1})
        return [row[0] for row in rows]

    async def _empty(self, info: ResourceInfo, reference: Reference, record_id: str) -> Rows:
        statement = self._core.writes[info.name].update((reference.name, "updated_at"), None, False)
        values = {f"v_{reference.name}": None, "v_updated_at": self._core.moment(), "record_id": record_id}
        return await self._tx.fetch(statement, values)

    def _id(self, leaving: _Leaving) -> str:
        return str(leaving.row[self._core.reads[leaving.info.name].codec.position["id"]])
