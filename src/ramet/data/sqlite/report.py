"""Telling observers of statements, and of slow ones with the engine's plan."""

from __future__ import annotations

import apsw

from ramet.observe import Observer, StatementRun


class Report:
    """`slow` is in seconds. Costs next to nothing while nobody listens and statements are fast."""

    __slots__ = ("_observer", "_slow")

    def __init__(self, observer: Observer, slow: float) -> None:
        self._observer = observer
        self._slow = slow

    def __call__(self, connection: apsw.Connection, sql: str, seconds: float, rows: int) -> None:
        """One statement ran; the plan is asked of `connection`."""
        if self._observer.wants(StatementRun):
            plan = explain(connection, sql) if seconds > self._slow else ""
            self._observer.emit(StatementRun(sql, seconds, rows, plan))


def explain(connection: apsw.Connection, sql: str) -> str:
    """The engine's plan for a statement, one step a line."""
    marks = (None,) * sql.count("?")
    try:
        return "\n".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", marks))
    except apsw.Error as error:
        return f"no plan: {error}"
