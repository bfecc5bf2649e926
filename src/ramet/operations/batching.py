"""Many operations in one request: in one transaction, or each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ramet.data.store import Transaction
from ramet.errors import Fault, Problem
from ramet.observe import Crashed
from ramet.operations.core import Core
from ramet.operations.handlers import Handlers
from ramet.operations.operation import Operation, Result
from ramet.operations.pipeline import Pipeline

ANSWER_LIMIT = 8_388_608
"""Bytes of answers in one batch of reads: a hundred full pages of long records would not fit into memory."""


class Outcome(msgspec.Struct, omit_defaults=True):
    """What became of one operation of a batch."""

    status: int
    etag: str = ""
    location: str = ""
    body: msgspec.Raw | dict[str, Any] | None = None


class Batching:
    """Each operation passes the whole pipeline, and counts against the limits, by itself."""

    def __init__(self, core: Core, pipeline: Pipeline, handlers: Handlers) -> None:
        self._core = core
        self._pipeline = pipeline
        self._handlers = handlers

    async def each(self, operations: Sequence[Operation | Problem]) -> Result:
        """Runs one after the other; one that is refused, maybe before, changes nothing and stops nothing.

        What comes after `ANSWER_LIMIT` bytes of answers is refused.
        """
        outcomes = []
        position = ""
        size = 0
        for operation in operations:
            try:
                if isinstance(operation, Problem):
                    raise operation
                if size > ANSWER_LIMIT:
                    raise Problem("query_too_costly", "The answers before this one fill the batch: ask for it again.")
                result = await self._pipeline.run(operation)
            except Problem as problem:
                outcomes.append(Outcome(problem.status, body=problem.as_document()))
            except Exception as error:
                # What others of the batch have changed stands, so each is answered by itself.
                self._core.observer.emit(Crashed(_name_of(operation), "", error))
                outcomes.append(Outcome(500, body=Problem("internal").as_document()))
            else:
                position = result.position or position
                size += len(result.body)
                outcomes.append(_outcome(result))
        return Result(msgspec.json.encode({"results": outcomes}), position=position)

    async def together(self, operations: Sequence[Operation | Problem]) -> Result:
        """Runs all in one transaction. The first refusal undoes everything and is the answer."""
        prepared = []
        for number, operation in enumerate(operations):
            if isinstance(operation, Problem):
                raise operation
            applies = self._handlers.applies(operation)
            if applies is None:
                raise Problem(
                    "invalid_input",
                    faults=[Fault(f"/operations/{number}", "not_atomic", "Only changes can share a transaction.")],
                )
            with _Placed(number):
                _, plan, permit = await self._pipeline.limiter.obtain(self._pipeline.prepare, operation)
            prepared.append((applies, operation, plan, permit))

        async def work(tx: Transaction) -> tuple[list[Outcome], str]:
            outcomes = []
            for number, (applies, operation, plan, permit) in enumerate(prepared):
                with _Placed(number):
                    outcomes.append(_outcome(await applies.apply(tx, operation, plan, permit)))
            return outcomes, str(tx.position or "")

        outcomes, position = await self._core.store.write(work)
        return Result(msgspec.json.encode({"results": outcomes}), position=position)


def _name_of(operation: Operation | Problem) -> str:
    """How an operation is called in logs."""
    return operation.name if isinstance(operation, Operation) else "batch"


class _Placed:
    """Says in a problem which operation it came from."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Problem):
            where = f"/operations/{self._number}"
            faults = [Fault(f"{where}/body{fault.pointer}", fault.code, fault.detail) for fault in error.faults]
            raise Problem(
                error.kind.code,
                f"Operation {self._number}: {error.detail}",
                faults=faults or [Fault(where, error.kind.code, error.detail)],
                retry_after=error.retry_after,
                headers=error.headers,
            ) from error


def _outcome(result: Result) -> Outcome:
    body = msgspec.Raw(result.body) if result.body else None
    return Outcome(result.status, result.etag, result.location, body)
