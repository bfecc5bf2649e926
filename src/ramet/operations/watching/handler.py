"""The operation `watch`: who may subscribe, and to what."""

from __future__ import annotations

import msgspec

from ramet.data.query import Query
from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.operation import Operation, Result
from ramet.operations.reading import refuse_closed
from ramet.operations.watching.hub import Hub
from ramet.operations.watching.replay import Replay
from ramet.operations.watching.subscription import Listener, Subscription
from ramet.operations.watching.view import View


class Watch(msgspec.Struct):
    """What a caller may subscribe to."""

    core: Core
    hub: Hub
    view: View
    caller: Caller

    def join(self, listener: Listener) -> Subscription:
        """Subscribes to what is committed from now on; `follow` is to be called next."""
        subscription = self.hub.join(self.view, self.caller, listener)
        subscription.hold()
        return subscription

    async def follow(self, subscription: Subscription, mark: str | None) -> None:
        """Tells what was missed since `mark`, if there is one, and then goes on."""
        if mark is None:
            subscription.release(None, self.core.feed.mark)
            return
        self.hub.replaying += 1
        try:
            await Replay(self.core, self.hub.judge, subscription).run(mark)
        finally:
            self.hub.replaying -= 1


class Watching:
    """Serves `watch`. The rules are those of lists and of single records, and so are the refusals."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.hub = Hub(core)

    def plan(self, operation: Operation) -> Query:
        """The query, which its interface has checked against the declaration."""
        return operation.query

    def authorize(self, operation: Operation, plan: Query) -> Permit:
        """The permit to read. A rule that asks for what the log does not tell can't be followed."""
        info, authority = operation.info, self._core.authority
        permit = authority.permit(info, "read" if operation.id else "list", operation.caller)
        if permit.refused:
            authority.require(permit, operation.caller, info if operation.id else None)
        if permit.closed:
            refuse_closed(info, plan, permit)
        masked = [grant.variant.reads_fields for grant in permit.mask.conditional.values()]
        if not permit.reads_fields.union(*masked) <= set(info.readable):
            raise Problem("invalid_query", f"{info.path} can't be watched: its rules ask for hidden fields.")
        return permit

    def find(self, operation: Operation, permit: Permit) -> Result | None:
        return None

    async def execute(self, operation: Operation, plan: Query, permit: Permit) -> Result:
        """What can be subscribed to. A single record must be there, and be one that the caller may read."""
        info = operation.info
        if operation.id:
            statement, _ = self._core.reads[info.name].get_plan(("version",), permit.guard)
            if not await self._core.store.fetch(statement, {"id": operation.id, **permit.values}):
                raise Problem("not_found")
        view = self.hub.view(info, permit, plan.filters, plan.fields, operation.id)
        return Result(b"", watch=Watch(self._core, self.hub, view, operation.caller))
