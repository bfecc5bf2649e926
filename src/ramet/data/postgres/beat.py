"""A sign of life in the database itself: how fresh a replica is, for whoever cannot reach the primary.

Instances write the primary's history and clock into one row, a few times a second. A replica that shows the row has
replayed all that was committed before its time: commits are replayed in their order. That holds whoever wrote the row,
and for a reader that is cut off from the primary as well. A replica that does not show this history's row may have
gone another way since a fail-over, and what it says of its place counts for nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from ramet.data.postgres.connection import TIMELINE

NAME = "beat"
NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
DRIFT = 0.0005
"""Seconds by which two clocks may part in a second."""
_FRESH = "split_part({}.value, ' ', 2)::bigint"
# Not written when another instance has just done so. Local: a beat must not wait for a replica that is away.
BEAT = f"""\
INSERT INTO ramet_facts AS held (name, value)
SELECT '{NAME}', {TIMELINE} || ' ' || {NOW} FROM set_config('synchronous_commit', 'local', true) AS set WHERE set <> ''
ON CONFLICT (name) DO UPDATE SET value = excluded.value
WHERE split_part(held.value, ' ', 1) <> split_part(excluded.value, ' ', 1)
OR {_FRESH.format("held")} NOT BETWEEN {_FRESH.format("excluded")} - $1::bigint AND {_FRESH.format("excluded")}
RETURNING 1"""
SHOWN = f"""\
SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint,
(SELECT value FROM ramet_facts WHERE name = '{NAME}')"""


class Mark(NamedTuple):
    """What a look at the primary found: its history, how far its log had come, and its clock in microseconds.

    `began` is when the look began, in seconds on this process's monotonic clock.
    """

    began: float
    timeline: str
    place: int
    clock: int

    def moment(self, beat: str, now: float) -> float:
        """When a beat was written, on this process's clock and rather too early; -inf for one of another history."""
        timeline, _, clock = beat.partition(" ")
        if timeline != self.timeline or not clock.isdecimal():
            return float("-inf")
        return min(self.began + (int(clock) - self.clock) / 1e6 - DRIFT * (now - self.began), now)
