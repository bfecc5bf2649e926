"""Hooks before a change: run in its transaction, able to change or refuse the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ramet.data.store import Transaction
from ramet.declare.catalog import ResourceInfo
from ramet.errors import Problem
from ramet.identity.caller import Caller

MakeContext = Callable[[Caller, Transaction, Any], Any]

_NOTE = "A hook before the change raised this."


def raised_by_hook(error: Exception) -> bool:
    """Whether an error comes from the application's own code before a change, and not from the database."""
    return _NOTE in getattr(error, "__notes__", ())


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
            try:
                await hook.function(record, context)
            except Exception as error:
                if not isinstance(error, Problem):
                    error.add_note(_NOTE)
                raise
