"""Who carries out which kind of operation."""

from __future__ import annotations

from typing import Any, Protocol

from ramet.data.store import Transaction
from ramet.operations.acting import Acting
from ramet.operations.authority import Permit
from ramet.operations.changing import Changing
from ramet.operations.context import Context
from ramet.operations.core import Core
from ramet.operations.hooks import Hooks
from ramet.operations.idempotency import Idempotency
from ramet.operations.operation import Operation, Result
from ramet.operations.reading import Reading
from ramet.operations.watching.handler import Watching
from ramet.operations.writing import Writing


class Handler(Protocol):
    """One kind of operation. `plan` checks the input, `find` looks in the cache, `execute` does the work."""

    def plan(self, operation: Operation) -> Any: ...
    def authorize(self, operation: Operation, plan: Any, /) -> Permit: ...
    def find(self, operation: Operation, permit: Permit) -> Result | None: ...
    async def execute(self, operation: Operation, plan: Any, /, permit: Permit) -> Result: ...


class Applies(Protocol):
    """A kind of operation that can run in a transaction that is open."""

    async def apply(self, tx: Transaction, operation: Operation, values: Any, permit: Permit) -> Result: ...


class Handlers:
    """The handlers of one application."""

    def __init__(self, core: Core) -> None:
        hooks = Hooks()
        self.writing = Writing(core, hooks)
        hooks.make_context = lambda caller, tx, previous: Context(core, self.writing, caller, tx, None, previous)
        idempotency = Idempotency(core)
        self.reading = Reading(core)
        self.changing = Changing(core, self.writing, idempotency)
        self.acting = Acting(core, self.writing, self.changing, idempotency)
        self.watching = Watching(core)
        self._by_kind: dict[str, Handler] = {
            "list": self.reading,
            "get": self.reading,
            "create": self.changing,
            "update": self.changing,
            "replace": self.changing,
            "delete": self.changing,
            "action": self.acting,
            "watch": self.watching,
        }

    def of(self, operation: Operation) -> Handler:
        return self._by_kind[operation.kind]

    def applies(self, operation: Operation) -> Applies | None:
        """The handler, if the operation can be one of several in a transaction."""
        if operation.kind == "action":
            transactional = operation.action is not None and operation.action.transaction
            return self.acting if transactional else None
        return None if operation.kind in ("list", "get", "watch") else self.changing
