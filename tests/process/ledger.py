"""What writers were promised, and whether a database file keeps it: the changes acknowledged, the log, the tables."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from tests.process.client import Answer, Client, Cut

ENTRIES = "/api/v1/entries"
BATCH = "/api/v1/batch"


class State(NamedTuple):
    """A record as it must stand."""

    version: int
    value: int


class Intent(NamedTuple):
    """A change that was sent: the state of each record after it (None: deleted), and what repeats it.

    Creations are named by their key, for their id is only known from the answer.
    """

    changes: dict[str, State | None]
    created: dict[str, State]
    method: str
    path: str
    body: object
    headers: dict[str, str]


class Writer:
    """One client that changes records of its own. `known` is what was acknowledged; `unsure` what had no answer.

    `keys` has the key of each record it made; `refused` those of records that it was told were not made.
    """

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.known: dict[str, State] = {}
        self.keys: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.refused: set[str] = set()
        self.unsure: Intent | None = None
        self.touched: set[str] = set()
        self._rng = rng
        self._made = 0

    def next(self) -> Intent:
        """What to do next: create, update, delete, or several at once."""
        roll = self._rng.random()
        if roll < 0.4 or len(self.known) < 3:
            return self._create()
        record = self._rng.choice(list(self.known))
        path = f"{ENTRIES}/{record}"
        if roll < 0.7:
            after = self._after(record)
            return Intent({record: after}, {}, "PATCH", path, {"value": after.value}, {})
        if roll < 0.85:
            return Intent({record: None}, {}, "DELETE", path, None, {})
        return self._several(record)

    def acknowledge(self, intent: Intent, answer: Answer) -> None:
        """Note what an answer promised. Anything but success is a failure of the test."""
        assert answer.status in (200, 201, 204), (intent, answer)
        made = {}
        if answer.status == 201:
            made = {record["key"]: record["id"] for record in [answer.json()]}
        elif intent.path == BATCH:
            bodies = [result.get("body") for result in answer.json()["results"]]
            made = {body["key"]: body["id"] for body in bodies if body and body["version"] == 1}
        assert made.keys() == intent.created.keys(), (intent, answer)
        self.settle(intent, made)

    def settle(self, intent: Intent, made: dict[str, str]) -> None:
        """The intent is done, and made these records, by key."""
        for record, state in intent.changes.items():
            self.touched.add(record)
            if state is None:
                self.deleted.add(record)
                del self.known[record]
            else:
                self.known[record] = state
        for key, state in intent.created.items():
            self.known[made[key]] = state
            self.keys[made[key]] = key
            self.touched.add(made[key])

    async def attempt(self, client: Client) -> Answer:
        """Try one change; a refusal promises that nothing of it was done."""
        intent = self.next()
        answer = await client.ask(intent.method, intent.path, intent.body, intent.headers)
        if answer.status < 300:
            self.acknowledge(intent, answer)
        self.touched.update(intent.changes)
        self.refused.update(intent.created.keys() - set(self.keys.values()))
        return answer

    async def write(self, client: Client, acknowledged: Callable[[], None]) -> int:
        """Change records until the connection ends; how many changes were acknowledged, each told at once."""
        done = 0
        try:
            while True:
                self.unsure = self.next()
                intent = self.unsure
                answer = await client.send(intent.method, intent.path, intent.body, intent.headers)
                self.acknowledge(intent, answer)
                self.unsure = None
                done += 1
                acknowledged()
        except Cut as cut:
            if cut.received:
                raise AssertionError(f"half an answer: {cut.received!r}") from cut
        return done

    def _create(self) -> Intent:
        key, body, state = self._new()
        return Intent({}, {key: state}, "POST", ENTRIES, body, {"idempotency-key": key})

    def _several(self, record: str) -> Intent:
        """Three creations and an update in one transaction."""
        news = [self._new() for _ in range(3)]
        after = self._after(record)
        operations: list[dict[str, object]] = [
            {"method": "POST", "path": ENTRIES, "body": body, "idempotency_key": key} for key, body, _ in news
        ]
        operations.insert(2, {"method": "PATCH", "path": f"{ENTRIES}/{record}", "body": {"value": after.value}})
        created = {key: state for key, _, state in news}
        return Intent({record: after}, created, "POST", BATCH, {"operations": operations}, {})

    def _new(self) -> tuple[str, dict[str, object], State]:
        self._made += 1
        key, value = f"{self.name}-{self._made}", self._rng.randrange(1_000_000)
        note = "word " * self._rng.randrange(200)
        return key, {"key": key, "value": value, "note": note, "group": "received"}, State(1, value)

    def _after(self, record: str) -> State:
        return State(self.known[record].version + 1, self._rng.randrange(1_000_000))


class _Logged(msgspec.Struct):
    id: str
    version: int
    value: int


class Auditor:
    """Reads a database file beside the server and compares the log with the tables, and both with what was promised.

    With `copies` it reads copies made in this folder, for files where SQLite finds none: behind links of /proc.
    """

    def __init__(self, path: Path, copies: Path | None = None) -> None:
        self._path = path
        self._copies = copies
        self._decode = msgspec.json.Decoder(_Logged).decode
        self._seq = 0
        self._versions: dict[str, int] = {}
        self._alive: dict[str, State] = {}

    def check(self, writers: Sequence[Writer], *, whole: bool = False) -> None:
        """Everything written since the last call; with `whole` every record and SQLite's own check of the file."""
        connection = self._open()
        try:
            with connection:
                logged = self._follow(connection)
                touched = logged.union(*(writer.touched for writer in writers))
                stored = _stored(connection, None if whole else touched)
                expected = self._alive if whole else {r: s for r, s in self._alive.items() if r in touched}
                assert stored == expected, _difference(stored, expected)
                if whole:
                    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()
        for writer in writers:
            self._check_promises(writer)
            assert not self.ids(sorted(writer.refused)), "made, and refused"

    def ids(self, keys: Sequence[str]) -> dict[str, str]:
        """The ids of the records with these keys, as far as there are any."""
        connection = self._open()
        try:
            marks = ", ".join("?" * len(keys))
            rows: list[Any] = connection.execute(f"SELECT key, id FROM entries WHERE key IN ({marks})", keys).fetchall()
            return dict(rows)
        finally:
            connection.close()

    def _open(self) -> apsw.Connection:
        if self._copies is None:
            return apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        log = self._path.with_name(f"{self._path.name}-wal")
        begun: bytes | None = None
        while begun is None or _header(log) != begun:  # a log that has begun anew does not go with the file of before
            begun = _header(log)
            for end in ("", "-wal"):
                shutil.copyfile(f"{self._path}{end}", self._copies / f"copy.db{end}")
        (self._copies / "copy.db-shm").unlink(missing_ok=True)
        return apsw.Connection(str(self._copies / "copy.db"))

    def _follow(self, connection: apsw.Connection) -> set[str]:
        """Takes what is new in the log, which has no gap and no version twice; the records it names."""
        rows: list[Any] = connection.execute(
            "SELECT seq, resource, record_id, kind, version, record FROM ramet_changes WHERE seq > ? ORDER BY seq",
            (self._seq,),
        ).fetchall()
        named = set()
        for seq, resource, record, kind, version, content in rows:
            assert seq == self._seq + 1, f"the log has a gap after {self._seq}"
            self._seq = seq
            if resource != "Entry":
                continue
            named.add(record)
            state = self._decode(content)
            if kind == "deleted":
                del self._alive[record]
                continue
            assert version == state.version == self._versions.get(record, 0) + 1, (record, kind, version, state)
            assert (kind == "created") == (version == 1), (record, kind, version)
            self._versions[record] = version
            self._alive[record] = State(version, state.value)
        return named

    def _check_promises(self, writer: Writer) -> None:
        """Every acknowledged change stands, but for the one that was under way and may have gone one step further."""
        unsure = writer.unsure.changes if writer.unsure is not None else {}
        for record in writer.touched:
            allowed = [writer.known.get(record), *([unsure[record]] if record in unsure else [])]
            assert self._alive.get(record) in allowed, (writer.name, record, self._alive.get(record), allowed)
        assert not writer.deleted & self._alive.keys()


def _header(log: Path) -> bytes:
    """What a write-ahead log has at its beginning: another each time that it begins anew."""
    with log.open("rb") as file:
        return file.read(32)


def _stored(connection: apsw.Connection, records: set[str] | None) -> dict[str, State]:
    found = "SELECT id, version, value FROM entries"
    rows: list[Any]
    if records is None:
        rows = list(connection.execute(found))
    else:
        wanted = msgspec.json.encode(sorted(records)).decode()
        rows = list(connection.execute(f"{found} WHERE id IN (SELECT value FROM json_each(?))", (wanted,)))
    return {record: State(version, value) for record, version, value in rows}


def _difference(stored: dict[str, State], expected: dict[str, State]) -> str:
    wrong = {r for r in stored.keys() | expected.keys() if stored.get(r) != expected.get(r)}
    return "\n".join(f"{r}: stored {stored.get(r)}, logged {expected.get(r)}" for r in sorted(wrong)[:10])
