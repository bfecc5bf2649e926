"""Reading the change log of this engine: one writer at a time, so the order of `seq` is the order of commits."""

from __future__ import annotations

from itertools import starmap

from ramet.changes.change import Change
from ramet.data.sqlite.reader import Reader

_AFTER = (
    "SELECT seq, at, resource, record_id, kind, version, owner, record FROM ramet_changes"
    " WHERE seq > ? ORDER BY seq LIMIT ?"
)
_HEAD = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'ramet_changes'), 0)"


class SqliteChanges:
    """Notices commits of any process by `PRAGMA data_version` on the reading connection: exact, without waiting."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._execute = reader.execute
        self._version = -1

    def moved(self) -> bool:
        version = self._execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return False
        self._version = version
        return True

    def after(self, seq: int, limit: int) -> list[Change]:
        return list(starmap(Change, self._reader.fetch_now(_AFTER, (seq, limit))))

    def head(self) -> int:
        return int(self._reader.fetch_now(_HEAD)[0][0])
