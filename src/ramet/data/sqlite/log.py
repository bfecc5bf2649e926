"""Reading the change log of this engine: one writer at a time, so the order of `seq` is the order of commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from pathlib import Path

from ramet.changes.change import Change, Position, parse_position
from ramet.changes.source import Missed
from ramet.data.sqlite.reader import Reader
from ramet.data.sqlite.wal_index import WalIndex

_AFTER = (
    "SELECT seq, at, resource, record_id, kind, version, owner, record FROM ramet_changes"
    " WHERE seq > ? ORDER BY seq LIMIT ?"
)
_OF = (
    "SELECT seq, at, resource, record_id, kind, version, owner, record FROM ramet_changes"
    " WHERE seq > ? AND seq <= ? AND at >= ? AND resource IN ({}) ORDER BY seq"
)
_AT = "SELECT at FROM ramet_changes WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
PAGE = 20_000
_HEAD = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'ramet_changes'), 0)"


class SqliteChanges:
    """Notices commits of any process, exactly and without waiting, by the WAL index.

    Where that cannot be mapped, `PRAGMA data_version` on the reading connection says the same, at more cost. `pages`
    tells how many the write-ahead log has; None there.
    """

    def __init__(self, reader: Reader, path: Path, incarnation: str) -> None:
        self._reader = reader
        self._incarnation = incarnation
        self._execute = reader.execute
        self._version: object = None
        self._index: WalIndex | None = None
        self.pages: Callable[[], int] | None = None
        try:
            self._index = WalIndex(path)
        except OSError:
            self.moved = self._version_moved
        else:
            self.moved = self._index.moved
            self.pages = self._index.pages

    def close(self) -> None:
        """Only once the store's connections are closed."""
        if self._index is not None:
            self._index.close()

    def _version_moved(self) -> bool:
        (version,) = self._execute("PRAGMA data_version").fetchall()[0]
        if version == self._version:
            return False
        self._version = version
        return True

    def after(self, seq: int, limit: int) -> list[Change]:
        return list(starmap(Change, self._reader.fetch_now(_AFTER, (seq, limit))))

    async def page(self, bookmark: str, limit: int) -> tuple[list[Change], str]:
        """As in `ramet.changes.source`: the bookmark is the number of the last row."""
        rows = self.after(int(bookmark or 0), limit)
        return rows, str(rows[-1].seq) if rows else bookmark

    def head(self) -> int:
        return int(self._reader.fetch_now(_HEAD)[0][0])

    def mark(self, seq: int) -> str:
        return str(Position(self._incarnation, seq))

    async def replay(self, mark: str, limit: int) -> Missed | None:
        """As in `ramet.changes.source`."""
        place = parse_position(mark)
        if place is None or place.incarnation != self._incarnation:
            return None
        head = self.head()
        if place.seq > head:
            return None
        rows = self.after(place.seq, limit)
        last = place.seq + len(rows)
        # A place without a row stands for trimmed rows, or for a database that was changed underneath.
        whole = not rows or rows[-1].seq == last
        more = len(rows) == limit
        if not whole or not (more or last >= head):
            return None
        return Missed(rows, self, self.mark(last), lambda seq, xid: seq <= last, more)

    def since(self, at: int, resources: Sequence[str]) -> Iterator[Change]:
        head = self.head()
        sql = _OF.format(", ".join("?" * len(resources)))
        for start in range(self._before(at, head), head, PAGE):
            rows = self._reader.fetch_now(sql, (start, start + PAGE, at, *resources))
            yield from starmap(Change, rows)

    def _before(self, at: int, head: int) -> int:
        """A place with nothing from `at` on before it, found by halving: the order of the log is that of time."""
        low, high = 0, head
        while low < high:
            middle = (low + high + 1) // 2
            rows = self._reader.fetch_now(_AT, (middle,))
            if not rows or rows[0][0] < at:
                low = middle
            else:
                high = middle - 1
        return low
