"""`Idempotency-Key`: the first answer is stored in the transaction of the change, and given again to a repetition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select

from ramet.data.statement import compile_statement
from ramet.data.store import Transaction
from ramet.errors import Problem
from ramet.operations.core import Core
from ramet.operations.operation import Operation, Result


class Idempotency:
    """Keys belong to a caller (for strangers, to their address): nobody meets another's answers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        table = core.schema.idempotency
        dialect = core.engine.dialect
        found = select(table.c.fingerprint, table.c.status, table.c.body, table.c.position)
        self._find = compile_statement(found.where(table.c.key == bindparam("key")), dialect)
        columns: dict[str, Any] = {column.name: bindparam(column.name) for column in table.columns}
        self._keep = compile_statement(insert(table).values(columns), dialect)

    async def once(
        self, tx: Transaction, operation: Operation, work: Callable[[Transaction], Awaitable[Result]]
    ) -> Result:
        """The answer of `work`, or the one that an earlier request with the same key had."""
        if not operation.idempotency_key:
            return await work(tx)
        key = self._key(operation)
        fingerprint = self._fingerprint(operation)
        rows = await tx.fetch(self._find, {"key": key})
        if rows:
            known, status, body, position = rows[0]
            if known != fingerprint:
                raise Problem("idempotency_conflict")
            first = msgspec.json.decode(body, type=_Kept)
            return Result(
                first.body, status, etag=first.etag, location=first.location, position=position, replayed=True
            )
        result = await work(tx)
        kept = msgspec.json.encode(_Kept(result.body, result.etag, result.location))
        position = str(tx.position or "")
        values = {"key": key, "fingerprint": fingerprint, "at": self._core.now(), "status": result.status, "body": kept}
        await tx.fetch(self._keep, {**values, "position": position})
        return result

    def _key(self, operation: Operation) -> str:
        whose = operation.caller.id or operation.exchange.address
        return blake2b(f"{whose}\0{operation.idempotency_key}".encode(), digest_size=24).hexdigest()

    def _fingerprint(self, operation: Operation) -> str:
        """What a repetition must have in common with the first request: operation, record and input."""
        source: Any = operation.input
        content = source if isinstance(source, bytes) else msgspec.json.encode(source)
        return blake2b(f"{operation.name}\0{operation.id}\0".encode() + content, digest_size=24).hexdigest()


class _Kept(msgspec.Struct):
    body: bytes
    etag: str
    location: str
