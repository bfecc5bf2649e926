"""Who watches what in this process, and passing on what the change log tells.

The feed hands over committed changes on the stack of whoever noticed them, so here they are only put in line; a task
that lives as long as there is something in line judges them, view by view.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import count
from typing import TypeVar

from ramet.changes.change import Change
from ramet.changes.source import Place
from ramet.data.query import Filter
from ramet.declare.catalog import ResourceInfo
from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.observe import Crashed, EventsSent
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.watching.filters import Filters
from ramet.operations.watching.judging import UNREADABLE, Judge
from ramet.operations.watching.subscription import Listener, Subscription
from ramet.operations.watching.view import View

MOST_WAITING = 20_000
"""Changes in line beyond which subscribers are told to reload instead."""
BREATH = 0.005
"""Seconds of judging after which other work of the process gets a turn."""
NOBODY: dict[View, None] = {}
K = TypeVar("K")
V = TypeVar("V")


class Hub:
    """Follows the feed for all subscribers of one process. `admits` raises Problem for a caller whose time is over.

    `replaying` are those who are still being told what they missed.
    """

    def __init__(self, core: Core) -> None:
        self.judge = Judge(core)
        self._core = core
        self._admits: Callable[[Caller], None] = lambda caller: None
        self._views: dict[Hashable, View] = {}
        self._slots: dict[tuple[str, str, str], dict[View, None]] = {}
        self._lookers: dict[str, dict[View, None]] = {}
        self._people: dict[str, dict[Subscription, None]] = {}
        self._leaving: list[tuple[float, int, Subscription]] = []
        self._order = count()
        self._line: deque[tuple[int, Place, Sequence[Change]]] = deque()
        self._waiting = 0
        self._number = 0
        self._before: dict[tuple[int, str], Change] = {}
        self._task: asyncio.Task[None] | None = None
        self.replaying = 0

    @property
    def views(self) -> int:
        return len(self._views)

    def start(self, admits: Callable[[Caller], None]) -> None:
        self._admits = admits
        self._core.feed.subscribe(self._apply, self._reset, confirmed=True)

    async def settled(self) -> None:
        """Waits until everything committed by now has been told."""
        await self._core.feed.catch_up()
        await asyncio.sleep(0)  # whoever is told to reload is told in the next turn
        while self._task is not None:
            await asyncio.wait([self._task])
        while self.replaying:  # noqa: ASYNC110 - many subscribers
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Ends the task that tells, if one runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def view(
        self,
        info: ResourceInfo,
        permit: Permit,
        filters: Sequence[Filter],
        fields: tuple[str, ...] | None,
        record_id: str,
    ) -> View:
        """The view of all who ask for this with these rights."""
        key = (info.name, permit.key, tuple(filters), fields, record_id)
        found = self._views.get(key)
        if found is None:
            tests = Filters(filters, self._core.reads[info.name].codec)
            found = View(info, permit, tests, fields, record_id, self.judge.predicate(permit), key)
        return found

    def join(self, view: View, caller: Caller, listener: Listener) -> Subscription:
        """Subscribes to what is committed from now on."""
        view = self._views.setdefault(view.key, view)
        self._core.feed.eager = True
        subscription = Subscription(view, caller, listener, self._number + 1)
        if not view.subscribers:
            self._slots.setdefault(view.slot, {})[view] = None
            for name in view.looks_into:
                self._lookers.setdefault(name, {})[view] = None
        view.subscribers[subscription] = None
        if caller.id is not None:
            self._people.setdefault(caller.id, {})[subscription] = None
            heapq.heappush(self._leaving, (caller.expires_at, next(self._order), subscription))
            # Its session may have ended since the token was looked at. Told in the next turn, when this one is known.
            asyncio.get_running_loop().call_soon(self._check, subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Ends a subscription; nothing more is told to it."""
        view, caller = subscription.view, subscription.caller
        if subscription not in view.subscribers:
            return
        del view.subscribers[subscription]
        if caller.id is not None:
            _discard(self._people, caller.id, subscription)
        if not view.subscribers:
            view.forget()  # whoever is about to join it does not learn of changes until then
            del self._views[view.key]
            _discard(self._slots, view.slot, view)
            for name in view.looks_into:
                _discard(self._lookers, name, view)
            self._core.feed.eager = bool(self._views)

    def renew(self, subscription: Subscription, caller: Caller) -> None:
        """The same person in the same session, with a token that lasts longer."""
        subscription.caller = caller
        heapq.heappush(self._leaving, (caller.expires_at, next(self._order), subscription))

    def expire(self) -> None:
        """Ends the subscriptions of those whose token has expired. To be called every now and then."""
        now = self._core.now() / 1e6
        while self._leaving and self._leaving[0][0] <= now:
            self._check(heapq.heappop(self._leaving)[2])

    def _check(self, subscription: Subscription) -> None:
        if subscription not in subscription.view.subscribers:
            return
        try:
            self._admits(subscription.caller)
        except Problem as problem:
            self.leave(subscription)
            subscription.listener.ended(subscription, problem)

    def _apply(self, changes: Sequence[Change]) -> None:
        self._number += 1
        if not self._views:
            self._before.clear()
            return
        self._line.append((self._number, self._core.feed.place, changes))
        self._waiting += len(changes)
        if self._waiting > MOST_WAITING:
            self._reset()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="tell subscribers")

    def _reset(self) -> None:
        """Changes were missed, or are too many: everybody reads again."""
        self._number += 1
        self._line.clear()
        self._waiting = 0
        self._before.clear()
        if not self._views:
            return
        # Who was told with the line just cleared is told so after the feed has come to its end.
        asyncio.get_running_loop().call_soon(self._reload_all, self._number)

    def _reload_all(self, number: int) -> None:
        mark = self._core.feed.mark
        for view in tuple(self._views.values()):
            view.forget()
            self._reload(view, "missed", mark, number)
        for people in tuple(self._people.values()):
            for subscription in tuple(people):
                self._check(subscription)

    def _reload(self, view: View, reason: str, mark: str, number: int) -> None:
        for subscription in tuple(view.subscribers):
            subscription.reload(reason, mark, number)

    async def _run(self) -> None:
        try:
            while self._line:
                number, place, changes = self._line.popleft()
                self._waiting -= len(changes)
                try:
                    await self._tell_all(number, place, changes)
                except Exception as error:
                    self._core.observer.emit(Crashed("watch", "", error))
                    self._reload_all(number)
        finally:
            self._task = None

    async def _tell_all(self, number: int, place: Place, changes: Sequence[Change]) -> None:
        """Tells a batch: whose session it ends hears nothing else of it."""
        for change in changes:
            person = change.record_id if change.resource == "User" else change.owner
            if change.resource in ("User", "Session") and person is not None:
                for subscription in tuple(self._people.get(person, ())):
                    self._check(subscription)
        self.expire()
        stale: dict[View, None] = {}
        loop = asyncio.get_running_loop()
        turn = loop.time()
        for change in changes:
            if change.kind == "before":
                self._before[change.xid, change.record_id] = change
                continue
            before = self._before.pop((change.xid, change.record_id), None)
            await self._tell(number, place, change, before, stale)
            if loop.time() - turn > BREATH:
                await asyncio.sleep(0)
                turn = loop.time()
        if stale:
            mark = place.mark(changes[-1].seq)
            for view in stale:
                self._reload(view, "access", mark, number)

    async def _tell(
        self, number: int, place: Place, change: Change, before: Change | None, stale: dict[View, None]
    ) -> None:
        lookers = self._lookers.get(change.resource, NOBODY)
        views = list(self._watching(change))
        if not views and not lookers:
            return
        try:
            told = self.judge.told(change, before)
        except UNREADABLE:
            stale.update(dict.fromkeys((*views, *lookers)))
            return
        for view in tuple(lookers):
            known = [logged for logged in (told.now, told.before) if logged is not None]
            # An update that changed nothing that rules ask for has no record from before it.
            if (change.kind != "updated" or told.before) and any(view.concerned(change.resource, one) for one in known):
                stale[view] = None
        await self.judge.prepare(views, told)
        mark = ""
        events = deliveries = 0
        for view in views:
            verdict = self.judge.verdict(view, told)
            if verdict.kind:
                mark = mark or place.mark(change.seq)
                event = view.event(change, verdict.kind, mark, told.now, verdict.hidden)
                events += 1
                deliveries += len(view.subscribers)
                for subscription in tuple(view.subscribers):
                    subscription.offer(event, number)
        if events:
            self._core.observer.emit(EventsSent(events, deliveries))

    def _watching(self, change: Change) -> Iterator[View]:
        """The views that a change may concern."""
        name = change.resource
        for slot in ((name, "", ""), (name, "owner", change.owner or ""), (name, "record", change.record_id)):
            yield from self._slots.get(slot, NOBODY)


def _discard(index: dict[K, dict[V, None]], key: K, value: V) -> None:
    inner = index[key]
    del inner[value]
    if not inner:
        del index[key]
