"""Telling a subscriber that comes back what it missed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from ramet.changes.change import Change
from ramet.changes.source import Holds, Place
from ramet.errors import Problem
from ramet.operations.core import Core
from ramet.operations.watching.judging import UNREADABLE, Judge, Told
from ramet.operations.watching.subscription import Subscription
from ramet.operations.watching.view import View

PAGE = 1_000
MOST = 20_000
"""Changes, of whatever resource, beyond which a subscriber is told to reload."""
MOST_BYTES = 16_777_216
"""Bytes of records likewise."""


class _Missed(msgspec.Struct):
    """One change that is to be told."""

    told: Told
    place: Place
    kind: str
    hidden: frozenset[str]


class Replay:
    """One subscriber's way from `mark` to the present.

    Of what a record became several times only the last is told: what it was meanwhile may no longer be for this caller
    to read. That it left the view is told at its place, so that a client which breaks off may go on from any event.
    """

    def __init__(self, core: Core, judge: Judge, subscription: Subscription) -> None:
        self._core = core
        self._judge = judge
        self._subscription = subscription
        self._view: View = subscription.view.copy()
        self._missed: dict[tuple[str, int], _Missed] = {}
        self._newest: dict[str, tuple[str, int]] = {}
        self._before: dict[tuple[int, str], Change] = {}
        self._changes = 0
        self._end = ""
        self._holds: Holds | None = None
        self._bytes = 0

    async def run(self, mark: str) -> None:
        """Tells what was missed, or that it can't be told; then the subscription goes on with what is new.

        Raises Problem where it can be told later.
        """
        try:
            reason = await self._read(mark)
        except Problem as problem:
            if problem.retry_after is not None:
                raise
            reason = "expired"  # asked again it would be refused again
        subscription = self._subscription
        if reason:
            if subscription in subscription.view.subscribers:
                subscription.give_up(reason, self._core.feed.mark)
            return
        for missed in self._missed.values():
            await subscription.listener.room()
            if subscription not in subscription.view.subscribers:
                return
            change = missed.told.change
            place = missed.place.mark(change.seq)
            event = self._view.event(change, missed.kind, place, missed.told.now, missed.hidden)
            subscription.listener.event(subscription, event)
        if subscription in subscription.view.subscribers:
            subscription.release(self._holds, self._end)

    async def _read(self, mark: str) -> str:
        """Reads and judges; why what was missed can't be told, or ""."""
        source = self._core.store.changes
        while True:
            page = await source.replay(mark, PAGE)
            if page is None:
                return "expired"
            try:
                if not await self._judge_all(page.changes, page.place):
                    return "access"
            except UNREADABLE:
                return "access"
            self._changes += len(page.changes)
            self._end = mark = page.end
            self._holds = page.holds
            if not page.more:
                return ""
            if self._changes > MOST or self._bytes > MOST_BYTES:
                return "behind"
            await asyncio.sleep(0)

    async def _judge_all(self, page: Sequence[Change], place: Place) -> bool:
        """False when a change of a resource that the rules look into may have altered the view."""
        view = self._view
        for change in page:
            if change.kind == "before":
                self._before[change.xid, change.record_id] = change
                continue
            before = self._before.pop((change.xid, change.record_id), None)
            if change.resource in view.looks_into:
                looked = self._judge.told(change, before)
                known = [logged for logged in (looked.now, looked.before) if logged is not None]
                relevant = change.kind != "updated" or looked.before
                if relevant and any(view.concerned(change.resource, one) for one in known):
                    return False
            if change.resource == view.info.name and self._meant(change):
                await self._judge_one(self._judge.told(change, before), place)
        return True

    def _meant(self, change: Change) -> bool:
        _, by, value = self._view.slot
        return not by or value == (change.owner if by == "owner" else change.record_id)

    async def _judge_one(self, told: Told, at: Place) -> None:
        await self._judge.prepare((self._view,), told)
        verdict = self._judge.verdict(self._view, told)
        if not verdict.kind:
            return
        record_id = told.change.record_id
        earlier = self._missed.pop(self._newest.pop(record_id, ("", 0)), None)
        kind = verdict.kind
        if earlier is not None:
            self._bytes -= len(earlier.told.now.text)
            kind = "created" if (earlier.kind, kind) == ("created", "updated") else kind
        place = (record_id, told.change.seq)
        self._missed[place] = _Missed(told, at, kind, verdict.hidden)
        self._bytes += len(told.now.text)
        if kind != "deleted":
            self._newest[record_id] = place
