"""The changing operations: input checked, then one transaction, then the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ramet.changes.change import Position
from ramet.data.codec import RowShape
from ramet.data.store import Awaited, Transaction
from ramet.declare.catalog import BASE_FIELDS, ResourceInfo
from ramet.errors import Fault, Problem
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.creating import Creation
from ramet.operations.idempotency import Idempotency
from ramet.operations.inputs import decode_input
from ramet.operations.operation import Operation, Result
from ramet.operations.writing import Writing, own_fields

Bounds = Sequence[tuple[str, Permit]]
VERBS = {"create": "create", "update": "update", "replace": "update", "delete": "delete"}
_encode = msgspec.json.Encoder().encode


class Changing:
    """Serves `create`, `update`, `replace` and `delete`."""

    def __init__(self, core: Core, writing: Writing, idempotency: Idempotency) -> None:
        self._core = core
        self._writing = writing
        self._idempotency = idempotency
        self._decoders: dict[tuple[str, str], msgspec.json.Decoder[Any]] = {}
        self._shapes: dict[Any, tuple[RowShape, tuple[int, ...]]] = {}
        for info in core.catalog:
            for kind in ("create", "replace", "update"):
                self._decoders[info.name, kind] = msgspec.json.Decoder(getattr(info.inputs, kind))

    def plan(self, operation: Operation) -> Mapping[str, Any]:
        """The checked values of the input. Raises Problem with every fault."""
        info, kind = operation.info, operation.kind
        if info.require_match and operation.match is None and not operation.any_match and kind != "create":
            raise Problem("precondition_required")
        if kind == "delete":
            return {}
        decoder = self._decoders[info.name, kind]
        given = decode_input(operation.input, decoder, info.fields, info.inputs.checked)
        values = {name: getattr(given, name) for name in given.__struct_fields__}
        return {name: value for name, value in values.items() if value is not msgspec.UNSET}

    def creation(self, operation: Operation) -> Creation | None:
        """What remains of the creates that are like this one, its values aside; None when each is looked at."""
        info = operation.info
        permit = self._core.authority.permit(info, "create", operation.caller)
        if info.references or info.access.write_fields or permit.closed or not self._writing.simple(info, {}, permit):
            return None
        return Creation(self._writing, operation, self._decoders[info.name, "create"])

    def authorize(self, operation: Operation, values: Mapping[str, Any]) -> Permit:
        """The permit of the change. Raises Problem when there can be none."""
        info, kind = operation.info, operation.kind
        permit = self._core.authority.permit(info, VERBS[kind], operation.caller)
        if permit.refused:
            self._core.authority.require(permit, operation.caller, None if kind == "create" else info)
        unwritable = self._core.authority.unwritable(info, operation.caller)
        # What a replacement repeats of fields that the caller sees is compared with the record later on.
        wrong = (unwritable & permit.closed if kind == "replace" else unwritable) & values.keys()
        if wrong:
            raise Problem("invalid_input", faults=_unknown(sorted(wrong)))
        return permit

    def find(self, operation: Operation, permit: Permit) -> Result | None:
        """Changes are never answered from a cache."""
        return None

    async def execute(self, operation: Operation, values: Mapping[str, Any], permit: Permit) -> Result:
        """Carries the change out in a transaction of its own."""
        info, caller = operation.info, operation.caller
        if (
            operation.kind == "create"
            and not operation.idempotency_key
            and self._writing.simple(info, values, permit)
            and not self._core.authority.bounds(info, values, caller)
        ):
            place: Awaited[Position] = Awaited()
            given = [values.get(name, msgspec.UNSET) for name in own_fields(info)]
            row, record = self._writing.create_simple(info, given, caller, place.settle)
            position = await place
            body = _encode(self.shown(info, row, permit)) if permit.closed else record
            return Result(body, 201, etag='"1"', location=row[0], position=str(position))

        if operation.kind == "update" and not operation.idempotency_key:
            alone = None
            if not self._core.authority.bounds(info, values, caller):
                alone = await self._writing.update_alone(info, operation.id, values, permit, operation.match)
            if alone is not None:
                result = self.answer(info, alone[0], permit)
                result.position = str(alone[1])
                return result

        async def work(tx: Transaction) -> Result:
            return await self.apply(tx, operation, values, permit)

        return await self._core.store.write(work)

    async def apply(self, tx: Transaction, operation: Operation, values: Mapping[str, Any], permit: Permit) -> Result:
        """Carries the change out in a transaction that is open."""

        async def work(tx: Transaction) -> Result:
            return await self._change(tx, operation, values, permit)

        result = await self._idempotency.once(tx, operation, work)
        if not result.replayed:
            result.position = str(tx.position or "")
        return result

    async def _change(self, tx: Transaction, operation: Operation, values: Mapping[str, Any], permit: Permit) -> Result:
        info, caller = operation.info, operation.caller
        if operation.kind == "delete":
            await self._writing.delete(tx, info, operation.id, caller, permit, operation.match)
            return Result(b"", 204)
        bounds = self._core.authority.bounds(info, values, caller)
        if operation.kind == "create":
            row = await self._writing.create(tx, info, self._complete(info, values), caller, permit)
            await self._hold(tx, info, row[0], bounds)
            result = self.answer(info, row, permit)
            result.status = 201
            result.location = row[0]
            return result
        if operation.kind == "replace":
            values = await self._replacement(tx, operation, values, permit)
            bounds = [bound for bound in bounds if bound[0] in values]
        if bounds and await self._writing.full_row(tx, info, operation.id, permit) is not None:
            await self._hold(tx, info, operation.id, bounds)
        row = await self._writing.update(tx, info, operation.id, values, caller, permit, operation.match)
        await self._hold(tx, info, operation.id, bounds)
        return self.answer(info, row, permit)

    def _complete(self, info: ResourceInfo, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values of all fields: what the input left out has its default."""
        own = [field for name, field in info.fields.items() if name not in values and not field.required]
        return {**values, **{field.name: field.initial() for field in own if field.name not in BASE_FIELDS}}

    async def _hold(self, tx: Transaction, info: ResourceInfo, record_id: str, bounds: Bounds) -> None:
        """The caller may give these fields a value in this record, as it stands in the transaction."""
        wrong = [name for name, permit in bounds if await self._writing.full_row(tx, info, record_id, permit) is None]
        if wrong:
            raise Problem("invalid_input", faults=_unknown(wrong))

    def answer(self, info: ResourceInfo, row: Sequence[Any], permit: Permit) -> Result:
        """A changed record as the caller may see it."""
        version = row[self._core.reads[info.name].codec.position["version"]]
        return Result(_encode(self.shown(info, row, permit)), etag=f'"{version}"')

    def shown(self, info: ResourceInfo, row: Sequence[Any], permit: Permit) -> Any:
        """A stored row, encodable, as the caller may see it. Fields that only some records show are left out."""
        position = self._core.reads[info.name].codec.position
        found = self._shapes.get((info.name, permit.closed))
        if found is None:
            names = [name for name in info.readable if name not in permit.closed]
            shape = self._core.reads[info.name].codec.shape(names)
            found = self._shapes[info.name, permit.closed] = (shape, tuple(position[name] for name in names))
        shape, places = found
        return shape.wire_one([row[place] for place in places])

    async def _replacement(
        self, tx: Transaction, operation: Operation, values: Mapping[str, Any], permit: Permit
    ) -> Mapping[str, Any]:
        """The values of a replacement: defaults for what it leaves out, but for fields that the caller may not change.

        Those it may leave out, or repeat as they are.
        """
        info = operation.info
        authority = self._core.authority
        once = {name for name in info.inputs.writable if name not in info.inputs.changeable}
        closed = authority.unwritable(info, operation.caller)
        bounded = {name for name, _ in authority.bounds(info, info.inputs.writable, operation.caller)}
        seen = await self._seen(tx, operation, permit) if once or bounded else None
        if seen is not None:
            bind = self._core.reads[info.name].codec.bind
            differing = [
                name
                for name in values
                if name in once | bounded and (name not in seen or bind(name, values[name]) != seen[name])
            ]
            closed |= once & permit.closed
            faults = _unknown([name for name in differing if name in closed])
            faults += [
                Fault(f"/{name}", "write_once", "This field cannot be changed after creation.")
                for name in differing
                if name in once - closed
            ]
            if faults:
                raise Problem("invalid_input", faults=faults)
            same = (once | bounded).difference(differing)
            values = {name: value for name, value in values.items() if name not in same}
        left = [name for name in info.inputs.changeable if name not in values and name not in bounded]
        return {**values, **{name: info.fields[name].initial() for name in left}}

    async def _seen(self, tx: Transaction, operation: Operation, permit: Permit) -> Mapping[str, Any] | None:
        """The stored values of the record that the caller sees, those hidden in this record as null.

        A repetition is compared with these alone: compared with what is hidden it would tell a right guess.
        """
        statement, shape = self._core.reads[operation.info.name].get_plan(None, permit.guard)
        rows = await tx.fetch(statement, {"id": operation.id, **permit.values})
        return dict(zip(shape.names, rows[0], strict=False)) if rows else None


def _unknown(names: Sequence[str]) -> list[Fault]:
    """Fields that the caller may not write are, to that caller, unknown fields."""
    return [Fault(f"/{name}", "unknown_field", "There is no field of this name to set.") for name in names]
