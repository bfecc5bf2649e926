"""One subscriber of a view, and what it is told through."""

from __future__ import annotations

from typing import Protocol

from ramet.changes.source import Holds
from ramet.errors import Problem
from ramet.identity.caller import Caller
from ramet.operations.watching.view import Event, View

MOST_HELD = 1_000
"""Events kept for a subscriber that is still being told what it missed."""


class Listener(Protocol):
    """Who passes on what a subscriber is told. Nothing here may wait."""

    def event(self, subscription: Subscription, event: Event, /) -> None: ...

    async def room(self) -> None:
        """Waits until there is room for an event, as long as it makes sense to wait."""

    def ready(self, subscription: Subscription, mark: str, /) -> None:
        """All that was missed has been told, up to `mark`."""

    def reload(self, subscription: Subscription, reason: str, mark: str, /) -> None:
        """What was told before no longer holds together: read again. Later events follow `mark`."""

    def ended(self, subscription: Subscription, problem: Problem, /) -> None:
        """Nothing more will come: the caller's session or token has ended."""


class Subscription:
    """`since` is the number of the first batch of changes that concerns it."""

    __slots__ = ("_held", "_overrun", "_seen", "caller", "listener", "since", "view")

    def __init__(self, view: View, caller: Caller, listener: Listener, since: int) -> None:
        self.view = view
        self.caller = caller
        self.listener = listener
        self.since = since
        self._held: list[Event] | None = None
        self._overrun = ""
        self._seen: Holds | None = None

    def hold(self) -> None:
        """Keeps what comes until `release`: what came before it is still being told."""
        self._held = []

    def offer(self, event: Event, number: int) -> None:
        """Tells an event of batch `number`."""
        if number < self.since or (self._seen is not None and self._seen(event.seq, event.xid)):
            return
        if self._held is None:
            self.listener.event(self, event)
        elif len(self._held) < MOST_HELD and not self._overrun:
            self._held.append(event)
        else:
            self._overrun = event.mark

    def reload(self, reason: str, mark: str, number: int) -> None:
        """Tells that what was told before batch `number` no longer holds together."""
        if number < self.since:
            return
        self._seen = None  # the log may be another one: nothing of it has been seen
        if self._held is None:
            self.listener.reload(self, reason, mark)
        else:
            self._overrun = mark

    def release(self, seen: Holds | None, mark: str) -> None:
        """What was missed has been told, up to `mark`; now comes what was kept.

        Nothing that is `seen` is told again, also what the subscriber had seen before: this process may be behind it,
        and what a record was before would come after what it has become.
        """
        held, self._held = self._held or [], None
        if self._overrun:
            self.listener.reload(self, "behind", self._overrun)
            return
        self._seen = seen
        self.listener.ready(self, mark)
        for event in held:
            if seen is None or not seen(event.seq, event.xid):
                self.listener.event(self, event)

    def give_up(self, reason: str, mark: str) -> None:
        """What was missed can't be told, up to `mark`."""
        self._held = None
        self.listener.reload(self, reason, self._overrun or mark)
