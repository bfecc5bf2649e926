"""The changing operations: input checked, then one transaction, then the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ramet.data.codec import RowShape
from ramet.data.store import Transaction
from ramet.declare.catalog import ResourceInfo
from ramet.errors import Fault, Problem
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.idempotency import Idempotency
from ramet.operations.inputs import decode_input
from ramet.operations.operation import Operation, Result
from ramet.operations.writing import Writing

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
        if kind in ("update", "replace", "delete") and info.require_match and operation.match is None:
            raise Problem("precondition_required")
        if kind == "delete":
            return {}
        decoder = self._decoders[info.name, kind]
        given = decode_input(operation.input, decoder, info.fields, info.inputs.checked)
        values = {}
        for name in given.__struct_fields__:
            value = getattr(given, name)
            if value is not msgspec.UNSET:
                values[name] = value
            elif kind != "update":
                values[name] = info.fields[name].initial()
        if kind == "create":
            for name, field in info.fields.items():
                if name not in values and (field.marks.read_only or field.marks.hidden) and not field.required:
                    values[name] = field.initial()
        return values

    def authorize(self, operation: Operation, values: Mapping[str, Any]) -> Permit:
        """The permit of the change. Raises Problem when there can be none."""
        permit = self._core.authority.permit(operation.info, VERBS[operation.kind], operation.caller)
        self._core.authority.require(permit, operation.caller)
        unwritable = self._core.authority.unwritable(operation.info, operation.caller)
        if unwritable and operation.kind != "delete":
            self._refuse_fields(operation, values, unwritable)
        return permit

    def find(self, operation: Operation, permit: Permit) -> Result | None:
        """Changes are never answered from a cache."""
        return None

    async def execute(self, operation: Operation, values: Mapping[str, Any], permit: Permit) -> Result:
        """Carries the change out in a transaction of its own."""

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
        if operation.kind == "create":
            row = await self._writing.create(tx, info, values, caller, permit)
            result = self.answer(info, row, permit)
            result.status = 201
            result.location = row[0]
            return result
        if operation.kind == "delete":
            await self._writing.delete(tx, info, operation.id, caller, permit, operation.match)
            return Result(b"", 204)
        if operation.kind == "replace":
            values = await self._keep_fixed(tx, operation, values, permit)
        row = await self._writing.update(tx, info, operation.id, values, caller, permit, operation.match)
        return self.answer(info, row, permit)

    def answer(self, info: ResourceInfo, row: Sequence[Any], permit: Permit) -> Result:
        """A changed record as the caller may see it. Fields that only some records show are left out."""
        position = self._core.reads[info.name].codec.position
        found = self._shapes.get((info.name, permit.closed))
        if found is None:
            names = [name for name in info.readable if name not in permit.closed]
            shape = self._core.reads[info.name].codec.shape(names)
            found = self._shapes[info.name, permit.closed] = (shape, tuple(position[name] for name in names))
        shape, places = found
        body = _encode(shape.wire(([row[place] for place in places],))[0])
        return Result(body, etag=f'"{row[position["version"]]}"')

    async def _keep_fixed(
        self, tx: Transaction, operation: Operation, values: Mapping[str, Any], permit: Permit
    ) -> Mapping[str, Any]:
        """A replacement repeats write-once fields as they are; anything else in them is a fault."""
        info = operation.info
        fixed = [name for name in info.inputs.writable if name not in info.inputs.changeable]
        if not fixed:
            return values
        row = await self._writing.full_row(tx, info, operation.id, permit)
        if row is None:
            return values
        codec = self._core.reads[info.name].codec
        faults = [
            Fault(f"/{name}", "write_once", "This field cannot be changed after creation.")
            for name in fixed
            if codec.bind(name, values[name]) != row[codec.position[name]]
        ]
        if faults:
            raise Problem("invalid_input", faults=faults)
        return {name: value for name, value in values.items() if name not in fixed}

    def _refuse_fields(self, operation: Operation, values: Mapping[str, Any], unwritable: frozenset[str]) -> None:
        """Fields the caller may not write are, to that caller, unknown fields."""
        info = operation.info
        faults = []
        for name in sorted(unwritable):
            given = values.get(name, msgspec.UNSET)
            if given is msgspec.UNSET:
                continue
            if operation.kind == "update" or given != info.fields[name].default:
                faults.append(Fault(f"/{name}", "unknown_field", "There is no field of this name to set."))
        if faults:
            raise Problem("invalid_input", faults=faults)
