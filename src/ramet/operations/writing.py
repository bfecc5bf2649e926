"""Creates, changes and deletions: the record, the rows that depend on it, and the log, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ramet.changes.change import Kind
from ramet.data.store import Transaction
from ramet.declare.catalog import ResourceInfo
from ramet.errors import Fault, Problem
from ramet.identity.caller import Caller
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.hooks import Hooks

CASCADE_LIMIT = 10_000
_encode = msgspec.json.Encoder().encode
Values = Mapping[str, Any]


class Writing:
    """Changes rows inside a transaction, by the caller's permit. Values are Python values, rows stored ones."""

    def __init__(self, core: Core, hooks: Hooks) -> None:
        self._core = core
        self._hooks = hooks

    async def create(self, tx: Transaction, info: ResourceInfo, values: Values, caller: Caller, permit: Permit) -> Any:
        """Stores a new record with `values` and returns its row."""
        codec = self._core.reads[info.name].codec
        await self._check_references(tx, info, values, caller)
        now = self._core.moment()
        base = {"id": self._core.new_id(), "owner": caller.id, "created_at": now, "updated_at": now, "version": 1}
        if info.hooks_for("before", "create"):
            record = info.cls(**{**values, **self._loaded(info, base)})
            await self._hooks.before(tx, info, "create", record, None, caller)
            row = codec.bind_record(record)
        else:
            row = tuple(
                [base[name] if name in base else codec.bind(name, values[name]) for name in codec.names]
            )
        return await self.insert(tx, info, row, permit)

    async def insert(self, tx: Transaction, info: ResourceInfo, row: Sequence[Any], permit: Permit) -> Sequence[Any]:
        """Stores a row as it is, if the permit's rule holds for it."""
        await tx.run(self._core.writes[info.name].insert, row)
        if not permit.always:
            await self._verify(tx, info, row[0], permit)
        await self.log(tx, info, "created", row)
        return row

    async def update(
        self,
        tx: Transaction,
        info: ResourceInfo,
        record_id: str,
        values: Values,
        caller: Caller,
        permit: Permit,
        match: tuple[str, ...] | None,
    ) -> Sequence[Any]:
        """Changes some fields of a record and returns its new row."""
        await self._check_references(tx, info, values, caller)
        if info.hooks_for("before", "update") or (match is not None and len(match) != 1):
            return await self._update_by_record(tx, info, record_id, values, caller, permit, match)
        codec = self._core.reads[info.name].codec
        bound = {f"v_{name}": codec.bind(name, value) for name, value in values.items()}
        bound["v_updated_at"] = self._core.moment()
        names = (*values, "updated_at")
        version = None if match is None else version_of(match[0])
        statement = self._core.writes[info.name].update(names, permit.guard, version is not None)
        bound.update(permit.values, record_id=record_id, match=version)
        rows = await tx.fetch(statement, bound)
        if not rows:
            raise await self._why_not(tx, info, record_id, caller, match)
        if not permit.reads_fields.isdisjoint(values):
            await self._verify(tx, info, record_id, permit)
        await self.log(tx, info, "updated", rows[0])
        return rows[0]

    async def save(
        self, tx: Transaction, info: ResourceInfo, before: Sequence[Any], record: Any, permit: Permit
    ) -> Sequence[Any]:
        """Stores what a record object differs in from its row `before`, and returns the new row."""
        codec = self._core.reads[info.name].codec
        after = codec.bind_record(record)
        kept = {"id", "owner", "created_at", "updated_at", "version"}
        changed = {
            name: value
            for name, value, old in zip(codec.names, after, before, strict=True)
            if value != old and name not in kept
        }
        if not changed:
            return before
        bound = {f"v_{name}": value for name, value in changed.items()}
        bound["v_updated_at"] = self._core.moment()
        bound.update(record_id=before[0], match=before[codec.position["version"]])
        statement = self._core.writes[info.name].update((*changed, "updated_at"), None, True)
        rows = await tx.fetch(statement, bound)
        if not rows:
            raise Problem("version_mismatch")
        if not permit.reads_fields.isdisjoint(changed):
            await self._verify(tx, info, before[0], permit)
        await self.log(tx, info, "updated", rows[0])
        return rows[0]

    async def delete(
        self,
        tx: Transaction,
        info: ResourceInfo,
        record_id: str,
        caller: Caller,
        permit: Permit,
        match: tuple[str, ...] | None,
    ) -> Sequence[Any]:
        """Deletes a record and what depends on it; returns its last row."""
        row = await self.full_row(tx, info, record_id, permit)
        if row is None or not self._matches(info, row, match):
            raise await self._why_not(tx, info, record_id, caller, match)
        await self._delete_row(tx, info, row, caller, [CASCADE_LIMIT])
        return row

    async def full_row(
        self, tx: Transaction, info: ResourceInfo, record_id: str, permit: Permit | None
    ) -> Sequence[Any] | None:
        """The whole row of a record as this transaction sees it, if the permit's rule holds for it."""
        statement = self._core.reads[info.name].full_plan(None if permit is None else permit.guard)
        rows = await tx.fetch(statement, {"id": record_id, **({} if permit is None else permit.values)})
        return rows[0] if rows else None

    async def log(self, tx: Transaction, info: ResourceInfo, kind: Kind, row: Sequence[Any]) -> None:
        """Writes the change log's row for a changed row."""
        codec = self._core.reads[info.name].codec
        position = codec.position
        record = _encode(codec.wire(row))
        await tx.log(info.name, row[position["id"]], kind, row[position["version"]], row[position["owner"]], record)

    async def _update_by_record(
        self,
        tx: Transaction,
        info: ResourceInfo,
        record_id: str,
        values: Values,
        caller: Caller,
        permit: Permit,
        match: tuple[str, ...] | None,
    ) -> Sequence[Any]:
        """The way of an update that hooks look at: read, change the object, store the difference."""
        before = await self.full_row(tx, info, record_id, permit)
        if before is None or not self._matches(info, before, match):
            raise await self._why_not(tx, info, record_id, caller, match)
        codec = self._core.reads[info.name].codec
        previous, record = codec.load(before), codec.load(before)
        for name, value in values.items():
            setattr(record, name, value)
        await self._hooks.before(tx, info, "update", record, previous, caller)
        return await self.save(tx, info, before, record, permit)

    async def _delete_row(
        self, tx: Transaction, info: ResourceInfo, row: Sequence[Any], caller: Caller, left: list[int]
    ) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Problem("conflict", f"More than {CASCADE_LIMIT} records depend on this one; delete some of them first.")
        codec = self._core.reads[info.name].codec
        if info.hooks_for("before", "delete"):
            record = codec.load(row)
            await self._hooks.before(tx, info, "delete", record, record, caller)
        record_id = row[codec.position["id"]]
        for child, reference in info.referenced_by:
            await self._release(tx, child, reference, record_id, caller, left)
        deleted = await tx.fetch(self._core.writes[info.name].delete(None, False), {"record_id": record_id})
        if deleted:
            await self.log(tx, info, "deleted", deleted[0])

    async def _release(
        self, tx: Transaction, child: ResourceInfo, reference: Any, target: str, caller: Caller, left: list[int]
    ) -> None:
        """Does with the records of `child` that refer to `target` what the reference declares."""
        writes = self._core.writes[child.name]
        limit = 1 if reference.on_delete == "restrict" else left[0] + 1
        found = await tx.fetch(writes.pointing_at(reference.name), {"target": target, "limit": limit})
        if not found:
            return
        if reference.on_delete == "restrict":
            raise Problem("still_referenced", f"Records of {child.path} refer to it by {reference.name}.")
        for (record_id,) in found:
            row = await self.full_row(tx, child, record_id, None)
            if row is None:
                continue
            if reference.on_delete == "cascade":
                await self._delete_row(tx, child, row, caller, left)
                continue
            left[0] -= 1
            names = (reference.name, "updated_at")
            values = {f"v_{reference.name}": None, "v_updated_at": self._core.moment(), "record_id": record_id}
            rows = await tx.fetch(writes.update(names, None, False), values)
            await self.log(tx, child, "updated", rows[0])

    async def _check_references(self, tx: Transaction, info: ResourceInfo, values: Values, caller: Caller) -> None:
        """Each reference names a record that exists and that the caller may read."""
        faults = []
        for reference in info.references.values():
            target = values.get(reference.name)
            if target is None:
                continue
            other = self._core.catalog.by_name[reference.target]
            permit = self._core.authority.permit(other, "read", caller)
            if permit.refused or await self.full_row(tx, other, target, permit) is None:
                faults.append(Fault(f"/{reference.name}", "unknown_reference", f"There is no such record in {other.path}."))
        if faults:
            raise Problem("invalid_input", faults=faults)

    async def _verify(self, tx: Transaction, info: ResourceInfo, record_id: str, permit: Permit) -> None:
        """The rule must also hold for the record as it was just stored."""
        if await self.full_row(tx, info, record_id, permit) is None:
            raise Problem("forbidden", "The record would be one that the caller may not write.")

    async def _why_not(
        self, tx: Transaction, info: ResourceInfo, record_id: str, caller: Caller, match: tuple[str, ...] | None
    ) -> Problem:
        """Why a change found no record: not visible, changed since, or not the caller's to change."""
        row = await self.full_row(tx, info, record_id, self._core.authority.permit(info, "read", caller))
        if row is None:
            return Problem("not_found")
        return Problem("forbidden") if self._matches(info, row, match) else Problem("version_mismatch")

    def _matches(self, info: ResourceInfo, row: Sequence[Any], match: tuple[str, ...] | None) -> bool:
        if match is None:
            return True
        version = row[self._core.reads[info.name].codec.position["version"]]
        return any(version_of(tag) == version for tag in match)

    def _loaded(self, info: ResourceInfo, base: Mapping[str, Any]) -> dict[str, Any]:
        """Stored base values as Python values."""
        codecs = self._core.reads[info.name].codec.codecs
        loads = ((name, value, codecs[name].load) for name, value in base.items())
        return {name: value if load is None or value is None else load(value) for name, value, load in loads}


def version_of(etag: str) -> int:
    """The version that an ETag of a record names; 0, which no record has, for any other."""
    text = etag.strip('"')
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else 0
