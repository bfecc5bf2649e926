"""Declared actions: on a record or a collection, with typed input and output."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ramet.data.store import Transaction
from ramet.declare.actions import ActionInfo
from ramet.declare.resource import Resource
from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.operations.authority import Permit
from ramet.operations.changing import Changing
from ramet.operations.context import DELETED, Context
from ramet.operations.core import Core
from ramet.operations.idempotency import Idempotency
from ramet.operations.inputs import decode_input
from ramet.operations.operation import Operation, Result
from ramet.operations.writing import Writing, version_of

_encode = msgspec.json.Encoder().encode


class Acting:
    """Serves `action`. An action on a record that returns nothing of its own stores what it changed in `self`."""

    def __init__(self, core: Core, writing: Writing, changing: Changing, idempotency: Idempotency) -> None:
        self._core = core
        self._writing = writing
        self._changing = changing
        self._idempotency = idempotency
        self._decoders = {
            (info.name, action.name): msgspec.json.Decoder(action.input)
            for info in core.catalog
            for action in info.actions.values()
        }

    def plan(self, operation: Operation) -> dict[str, Any]:
        """The checked inputs by parameter name. Raises Problem with every fault."""
        action = _action(operation)
        decoder = self._decoders[operation.info.name, action.name]
        source = operation.input or None  # no body is a body that leaves everything out
        checked = [field for field in action.fields.values() if field.checked]
        given = decode_input(source, decoder, action.fields, checked)
        values = {name: getattr(given, name) for name in given.__struct_fields__}
        return {
            name: action.fields[name].initial() if value is msgspec.UNSET else value for name, value in values.items()
        }

    def authorize(self, operation: Operation, values: dict[str, Any]) -> Permit:
        """The permit of the action. Raises Problem when there can be none."""
        action = _action(operation)
        permit = self._core.authority.action(operation.info, action, operation.caller)
        if permit.refused:
            self._core.authority.require(permit, operation.caller, None if action.on_collection else operation.info)
        return permit

    def find(self, operation: Operation, permit: Permit) -> Result | None:
        """Actions are never answered from a cache."""
        return None

    async def execute(self, operation: Operation, values: dict[str, Any], permit: Permit) -> Result:
        """Runs the action in the transaction it declares."""
        action = _action(operation)
        if action.reads or not action.transaction:
            result = await self._run_in_time(operation, action, values, permit)
            result.position = operation.exchange.position
            return result

        async def work(tx: Transaction) -> Result:
            return await self.apply(tx, operation, values, permit)

        return await self._core.store.write(work)

    async def _run_in_time(
        self, operation: Operation, action: ActionInfo, values: dict[str, Any], permit: Permit
    ) -> Result:
        """Runs an action that has no transaction, whose own bound of time would hold it."""
        longest = self._core.settings.request_timeout
        try:
            async with asyncio.timeout(longest):
                return await self._run(None, operation, action, values, permit)
        except TimeoutError as error:
            raise Problem("timed_out", f"The action took longer than {longest:g} s and was broken off.") from error

    async def apply(self, tx: Transaction, operation: Operation, values: dict[str, Any], permit: Permit) -> Result:
        """Runs the action in a transaction that is open."""

        async def work(tx: Transaction) -> Result:
            return await self._run(tx, operation, _action(operation), values, permit)

        result = await self._idempotency.once(tx, operation, work)
        if not result.replayed:
            result.position = str(tx.position or "")
        return result

    async def _run(
        self, tx: Transaction | None, operation: Operation, action: ActionInfo, values: dict[str, Any], permit: Permit
    ) -> Result:
        context = Context(self._core, self._writing, operation.caller, tx, operation.exchange)
        if action.on_collection:
            output = await action.action.function(operation.info.cls, context, **values)
            return self._answer(operation, action, output)
        info = operation.info
        codec = self._core.reads[info.name].codec
        row = await self._row(tx, operation, permit)
        record = codec.load(row)
        if operation.match is not None and record.version not in map(version_of, operation.match):
            raise Problem("version_mismatch")
        output = await action.action.function(record, context, **values)
        if tx is not None and record.version != DELETED:
            if record.version != row[codec.position["version"]]:
                # The action stored its record itself: what it changed since then is still to be stored.
                row = await self._writing.full_row(tx, info, operation.id, None) or row
            row = await self._writing.save(tx, info, row, record, permit)
            if output is record:
                read = self._core.authority.permit(info, "read", operation.caller)
                result = self._changing.answer(info, row, read)
                result.status = action.status
                return result
        return self._answer(operation, action, output)

    async def _row(self, tx: Transaction | None, operation: Operation, permit: Permit) -> Any:
        """The record's row. Not readable is 404; readable but not for this action is 403."""
        info, caller = operation.info, operation.caller
        for attempt in (permit, self._core.authority.permit(info, "read", caller)):
            statement = self._core.reads[info.name].full_plan(attempt.guard)
            values = {"id": operation.id, **attempt.values}
            fetch = self._core.store.fetch if tx is None else tx.fetch
            rows = await fetch(statement, values)
            if rows and attempt is permit:
                return rows[0]
            if rows:
                raise Problem("forbidden")
        raise Problem("not_found")

    def _answer(self, operation: Operation, action: ActionInfo, output: Any) -> Result:
        if output is None:
            return Result(b"", 204)
        if isinstance(output, Resource):
            info = self._core.catalog.of(type(output))
            row = self._core.reads[info.name].codec.bind_record(output)
            result = self._changing.answer(info, row, self._core.authority.permit(info, "read", operation.caller))
            result.status = action.status
            return result
        return Result(_encode(self._shown(output, operation.caller)), action.status)

    def _shown(self, output: Any, caller: Caller) -> Any:
        """The output with every record in it as the caller may see it."""
        match output:
            case Resource():
                info = self._core.catalog.of(type(output))
                row = self._core.reads[info.name].codec.bind_record(output)
                return self._changing.shown(info, row, self._core.authority.permit(info, "read", caller))
            case dict():
                inner = {key: self._shown(value, caller) for key, value in output.items()}
                return inner if any(inner[key] is not value for key, value in output.items()) else output
            case list() | tuple() | set() | frozenset():
                items = [self._shown(value, caller) for value in output]
                return items if any(one is not other for one, other in zip(items, output, strict=True)) else output
            case msgspec.Struct():
                values = [getattr(output, name) for name in output.__struct_fields__]
                plain = [self._shown(value, caller) for value in values]
                if any(one is not other for one, other in zip(plain, values, strict=True)):
                    return dict(zip(output.__struct_encode_fields__, plain, strict=True))
        return output


def _action(operation: Operation) -> ActionInfo:
    if operation.action is None:
        raise RuntimeError(f"{operation.name} is an action without a declaration.")
    return operation.action
