"""What a subscriber is told after it was told what it had missed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ramet.operations.watching.subscription import Subscription
from ramet.operations.watching.view import Event


class Heard:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str | int] = []

    def event(self, subscription: Subscription, event: Event) -> None:
        self.told.append(event.seq)

    async def room(self) -> None:
        pass

    def ready(self, subscription: Subscription, mark: str) -> None:
        self.told.append("ready")

    def reload(self, subscription: Subscription, reason: str, mark: str) -> None:
        self.told.append(reason)

    def ended(self, subscription: Subscription, problem: Any) -> None:
        raise AssertionError(problem)


def subscribed() -> tuple[Subscription, list[str | int]]:
    """One that is still being told what it missed."""
    heard = Heard()
    nothing: Any = SimpleNamespace()
    subscription = Subscription(nothing, nothing, heard, since=2)
    subscription.hold()
    return subscription, heard.told


def offer(subscription: Subscription, *rows: int, number: int = 2) -> None:
    for row in rows:
        subscription.offer(Event(row, f"m{row}", "updated", b"{}"), number)


def until_five(seq: int, xid: int) -> bool:
    return seq <= 5


def test_what_it_has_seen_is_not_told_again_whether_it_came_before_or_after_the_rest() -> None:
    subscription, told = subscribed()
    offer(subscription, 1, number=1)  # of a batch before it came
    offer(subscription, 4, 6)
    assert told == []
    subscription.release(until_five, "m5")
    offer(subscription, 3, 5, 7)
    assert told == ["ready", 6, 7]


def test_after_a_reload_all_is_told_for_the_log_may_be_another_one() -> None:
    """As after a database was set back: its rows are numbered anew."""
    subscription, told = subscribed()
    subscription.release(until_five, "m5")
    subscription.reload("missed", "m0", 1)
    offer(subscription, 4)
    assert told == ["ready"], "it came after that"
    subscription.reload("missed", "m0", 2)
    offer(subscription, 4)
    assert told == ["ready", "missed", 4]


def test_where_that_happens_meanwhile_all_is_told_after_it_too() -> None:
    subscription, told = subscribed()
    subscription.reload("missed", "m0", 2)
    subscription.release(until_five, "m5")
    offer(subscription, 4)
    assert told == ["behind", 4]
