"""Telling observers of statements, and of slow ones with the engine's plan."""

from __future__ import annotations

from ramet.observe import Observer, StatementRun


class Report:
    """`slow` is in seconds. Costs next to nothing while nobody listens and statements are fast."""

    __slots__ = ("_observer", "_slow")

    def __init__(self, observer: Observer, slow: float) -> None:
        self._observer = observer
        self._slow = slow

    def is_slow(self, seconds: float) -> bool:
        """Whether the plan of a statement that took as long is wanted."""
        return seconds > self._slow and self._observer.wants(StatementRun)

    def __call__(self, sql: str, seconds: float, rows: int, plan: str = "") -> None:
        """One statement ran."""
        if self._observer.wants(StatementRun):
            self._observer.emit(StatementRun(sql, seconds, rows, plan))
