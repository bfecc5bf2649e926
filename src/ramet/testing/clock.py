"""Time for tests: it passes when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """Stands at `start` until it is moved, but for a microsecond at each look, so that no two moments are the same."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> int:
        """Microseconds since 1970."""
        self.now += timedelta(microseconds=1)
        return (self.now - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)

    def advance(self, **passed: float) -> datetime:
        """Moves on by `days`, `hours`, `minutes` or `seconds`, as `timedelta` takes them; the new time."""
        self.now += timedelta(**passed)
        return self.now
