"""Every operation, from every interface, passes these stages in this order."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from ramet.changes.feed import Feed
from ramet.errors import Problem
from ramet.identity.caller import ANONYMOUS
from ramet.identity.verifier import Verifier
from ramet.limits.limiter import Limiter
from ramet.operations.authority import Permit
from ramet.operations.handlers import Handler, Handlers
from ramet.operations.operation import Operation, Result

STAGES = ("identify", "limit", "plan", "authorize", "cache", "execute")


class Pipeline:
    """identify → limit → plan → authorize → cache → execute. Interfaces render what comes out."""

    def __init__(self, feed: Feed, verifier: Verifier, limiter: Limiter, handlers: Handlers) -> None:
        self._feed = feed
        self.verifier = verifier
        self.limiter = limiter
        self._handlers = handlers

    async def run(self, operation: Operation) -> Result:
        """The finished answer. Raises Problem for every refusal that a caller can see."""
        handler, plan, permit = await self.limiter.obtain(self.prepare, operation)
        result = handler.find(operation, permit)
        operation.marks.append(perf_counter())
        if result is None:
            result = await handler.execute(operation, plan, permit)
            operation.marks.append(perf_counter())
        return result

    def prepare(self, operation: Operation) -> tuple[Handler, Any, Permit]:
        """The stages before any work is done: who asks, whether it is too often, what for, and whether they may."""
        operation.marks[:] = [perf_counter()]
        mark = operation.marks.append
        self._identify(operation)
        mark(perf_counter())
        route_class = "general" if operation.action is None else operation.action.limit
        operation.allowance = self.limiter.check(route_class, operation.caller.id, operation.exchange.group)
        mark(perf_counter())
        handler = self._handlers.of(operation)
        plan = handler.plan(operation)
        mark(perf_counter())
        operation.permit = handler.authorize(operation, plan)
        mark(perf_counter())
        return handler, plan, operation.permit

    def _identify(self, operation: Operation) -> None:
        """Sets the caller. A stale cookie, and a stale token sent to sign in or refresh, count as none."""
        operation.synced = self._feed.sync() and (not operation.after or self._feed.reached(operation.after))
        if operation.token is None:
            return
        try:
            operation.caller = self.verifier.verify(operation.token, operation.via)
        except Problem:
            if operation.via == "bearer" and (operation.action is None or not operation.action.public):
                self.limiter.charge(None, operation.exchange.group)
                raise
            operation.caller = ANONYMOUS
        if operation.id == "me" and operation.caller.id is not None:
            operation.id = operation.caller.id
