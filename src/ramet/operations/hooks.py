"""Hooks before a change: run in its transaction, able to change or refuse the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ramet.data.store import Transaction
from ramet.declare.catalog import ResourceInfo
from ramet.identity.caller import Caller

MakeContext = Callable[[Caller, Transaction, Any], Any]


class Hooks:
    """`make_context(caller, transaction, previous)` gives what a hook is called with; set once all parts exist."""

    def __init__(self) -> None:
        self.make_context: MakeContext | None = None

    async def before(
        self, tx: Transaction, info: ResourceInfo, moment: str, record: Any, previous: Any, caller: Caller
    ) -> None:
        """Calls each hook in the order of declaration; what one raises refuses the change."""
        if self.make_context is None:
            raise RuntimeError("Hooks were called before the application was put together.")
        context = self.make_context(caller, tx, previous)
        for hook in info.hooks_for("before", moment):
            await hook.function(record, context)
