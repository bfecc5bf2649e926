"""The parts of a topology as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

from ramet.topology.instances.part import Row

_COLOURS: Mapping[str, str] = {
    "up": "green",
    "ready": "green",
    "starting": "yellow",
    "replacing": "yellow",
    "degraded": "yellow",
    "stopping": "yellow",
    "stopped": "dim",
}
"""Everything else is red."""


def table(rows: Iterable[Row]) -> Table:
    """One row for each part."""
    shown = Table("Part", "State", "Process", "Port", "Load", "Lag", "Restarts", box=None, pad_edge=False)
    for row in rows:
        state = Text(row.state, style=_COLOURS.get(row.state, "red"))
        if row.detail:
            state.append(f" ({row.detail})", style="dim")
        process, restarts = str(row.pid or ""), str(row.restarts or "")
        shown.add_row(row.part, state, process, str(row.port), row.load, row.lag, restarts)
    return shown
