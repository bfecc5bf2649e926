"""Creates, changes and deletions: the record, the rows that depend on it, and the log, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ramet.access.deciding import decides
from ramet.changes.change import Kind, Position
from ramet.data.statement import Statement
from ramet.data.store import Entry, Settle, Transaction
from ramet.declare.catalog import BASE_FIELDS, ResourceInfo
from ramet.errors import Fault, Problem
from ramet.identity.caller import Caller
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.deleting import Deletion
from ramet.operations.hooks import Hooks

_encode = msgspec.json.Encoder().encode
Values = Mapping[str, Any]


def own_fields(info: ResourceInfo) -> tuple[str, ...]:
    """The fields of a resource beside those that every record has, in the order of its columns."""
    return tuple(name for name in info.fields if name not in BASE_FIELDS)


class _Simple(NamedTuple):
    """How a `simple` record of one resource is stored.

    `wire` gives what its row is encoded from. `columns` are the places in the row where there may be something to do:
    a default to put in, or a value to turn into what is stored.
    """

    insert: Statement
    wire: Callable[[Sequence[Any]], Any]
    columns: tuple[tuple[int, Callable[[Any], Any] | None, Callable[[], Any]], ...]

    @classmethod
    def of(cls, info: ResourceInfo, core: Core) -> _Simple:
        codec = core.reads[info.name].codec
        columns = []
        for place, name in enumerate(own_fields(info), len(BASE_FIELDS)):
            bind, field = codec.codecs[name].bind, info.fields[name]
            if bind is not None or not field.required:
                columns.append((place, bind, field.initial))
        return cls(core.writes[info.name].insert, codec.wire, tuple(columns))


class Writing:
    """Changes rows inside a transaction, by the caller's permit. Values are Python values, rows stored ones."""

    def __init__(self, core: Core, hooks: Hooks) -> None:
        self._core = core
        self._hooks = hooks
        self._simple = {info.name: _Simple.of(info, core) for info in core.catalog}

    def simple(self, info: ResourceInfo, values: Values, permit: Permit) -> bool:
        """Whether a new record with `values` needs nothing but to be stored: no hook, rule or reference to look at."""
        if not permit.always or info.hooks_for("before", "create"):
            return False
        return not any(values.get(name) is not None for name in info.references)

    def create_simple(
        self, info: ResourceInfo, values: Sequence[Any], caller: Caller, settle: Settle
    ) -> tuple[Sequence[Any], bytes]:
        """Begins to store a `simple` record in a transaction of its own: its row and its JSON.

        Its place in the log is told once it is on disk. `values` are those of `own_fields`, UNSET for their defaults.
        """
        core = self._core
        insert, wire, columns = self._simple[info.name]
        now, record_id, owner = core.moment(), core.new_id(), caller.id
        row = [record_id, owner, now, now, 1, *values]
        for place, bind, initial in columns:
            value = row[place]
            if value is msgspec.UNSET:
                row[place] = value = initial()
            if bind is not None and value is not None:
                row[place] = bind(value)
        record = _encode(wire(row))
        core.store.insert(insert, row, Entry(info.name, record_id, "created", 1, owner, record), settle)
        return row, record

    async def create(
        self,
        tx: Transaction,
        info: ResourceInfo,
        values: Values,
        caller: Caller,
        permit: Permit,
        given: Values | None = None,
    ) -> Any:
        """Stores a new record with `values` and returns its row. `given` are stored base values it brings along."""
        codec = self._core.reads[info.name].codec
        await self._check_references(tx, info, values, caller)
        now = self._core.moment()
        base = {"id": self._core.new_id(), "owner": caller.id, "created_at": now, "updated_at": now, "version": 1}
        if given:
            base.update(given)
        row = tuple([base[name] if name in base else codec.bind(name, values[name]) for name in codec.names])
        try:
            if info.hooks_for("before", "create"):
                record = info.cls(**{**values, **self._loaded(info, base)})
                await self._hooks.before(tx, info, "create", record, None, caller)
                row = codec.bind_record(record)
            if permit.always:
                return await self.insert(tx, info, row, permit)
            return await tx.part(lambda: self.insert(tx, info, row, permit))
        except Problem as problem:
            if not permit.always and problem.status < 500 and not await self._admits(tx, info, row, permit):
                # Why a record could not be stored is not for those who may not store it: it tells of others' records.
                raise _forbidden() from None
            raise

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
        await self._check_references(tx, info, values, caller, (record_id, permit))
        if info.hooks_for("before", "update") or (match is not None and len(match) != 1):
            return await self._update_by_record(tx, info, record_id, values, caller, permit, match)
        statement = self._core.writes[info.name].update((*values, "updated_at"), permit.guard, match is not None)
        before = None
        if decides(self._core.authority.deciding[info.name], values):
            before = await self.full_row(tx, info, record_id, permit)
        rows = await tx.fetch(statement, self._bound(info, record_id, values, permit, match))
        if not rows:
            raise await self._why_not(tx, info, record_id, caller, match)
        if not permit.reads_fields.isdisjoint(values):
            await self._verify(tx, info, record_id, permit)
        if before is not None:
            await self.log(tx, info, "before", before)
        await self.log(tx, info, "updated", rows[0])
        return rows[0]

    async def update_alone(
        self, info: ResourceInfo, record_id: str, values: Values, permit: Permit, match: tuple[str, ...] | None
    ) -> tuple[Sequence[Any], Position] | None:
        """The same in one statement, which is a transaction by itself: the new row, and its place in the log.

        None when more has to be looked at, when no record was met, and where the engine does not offer it.
        """
        change = self._core.store.change
        if (
            change is None
            or info.hooks_for("before", "update")
            or (match is not None and len(match) != 1)
            or not permit.reads_fields.isdisjoint(values)
            or (permit.variant is not None and permit.variant.reads_resources)
            or decides(self._core.authority.deciding[info.name], values)
            or any(values.get(name) is not None for name in info.references)
        ):
            return None
        names = (*values, "updated_at")
        statement = self._core.writes[info.name].update_logged(names, permit.guard, match is not None)
        if statement is None:
            return None
        return await change(statement, self._bound(info, record_id, values, permit, match))

    def _bound(
        self, info: ResourceInfo, record_id: str, values: Values, permit: Permit, match: tuple[str, ...] | None
    ) -> dict[str, Any]:
        """The parameters of an update."""
        bind = self._core.reads[info.name].codec.bind
        bound = {f"v_{name}": bind(name, value) for name, value in values.items()}
        bound["v_updated_at"] = self._core.moment()
        bound.update(permit.values, record_id=record_id, match=None if match is None else version_of(match[0]))
        return bound

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
        if decides(self._core.authority.deciding[info.name], changed):
            await self.log(tx, info, "before", before)
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
        deletion = Deletion(self._core, self._hooks, tx, caller)
        await deletion.run(info, row)
        for changed, kind, last in deletion.log:
            await self.log(tx, changed, kind, last)
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

    async def _check_references(
        self,
        tx: Transaction,
        info: ResourceInfo,
        values: Values,
        caller: Caller,
        record: tuple[str, Permit] | None = None,
    ) -> None:
        """Each reference names a record that exists and that the caller may read, or is what `record` has already."""
        faults = []
        for reference in info.references.values():
            target = values.get(reference.name)
            if target is None:
                continue
            other = self._core.catalog.by_name[reference.target]
            permit = self._core.authority.permit(other, "read", caller)
            if permit.refused or await self.full_row(tx, other, target, permit) is None:
                row = None if record is None else await self.full_row(tx, info, *record)
                if row is None or row[self._core.reads[info.name].codec.position[reference.name]] != target:
                    sentence = f"There is no such record in {other.path}."
                    faults.append(Fault(f"/{reference.name}", "unknown_reference", sentence))
        if faults:
            raise Problem("invalid_input", faults=faults)

    async def _verify(self, tx: Transaction, info: ResourceInfo, record_id: str, permit: Permit) -> None:
        """The rule must also hold for the record as it was just stored."""
        if await self.full_row(tx, info, record_id, permit) is None:
            raise _forbidden()

    async def _admits(self, tx: Transaction, info: ResourceInfo, row: Sequence[Any], permit: Permit) -> bool:
        """Whether the permit's rule would hold for a row that is not stored."""
        reads = self._core.reads[info.name]
        statement = reads.admits_plan(permit.guard.identity, lambda this: self._core.authority.condition(permit, this))
        given = {f"this_{name}": value for name, value in zip(reads.codec.names, row, strict=True)}
        return bool(await tx.fetch(statement, {**given, **permit.values}))

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


def _forbidden() -> Problem:
    return Problem("forbidden", "The record would be one that the caller may not write.")


def version_of(etag: str) -> int:
    """The version that an ETag of a record names; 0, which no record has, for any other."""
    text = etag.strip('"').partition("-")[0]
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else 0
