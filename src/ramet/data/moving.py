"""Moving an application's data to a database of another engine: in batches, resumable, proved by counts and checksums.

What has been copied is noted in the target in the transaction that copies it, so a move that was ended anywhere goes on
from there. Until it is finished the target has a fact named `MOVE`, by which servers and other commands refuse it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from sqlalchemy import Table

from ramet.data.engine import Engine
from ramet.data.engines import engine_for, engine_part
from ramet.data.fingerprint import AWAITED, FINGERPRINT, KINDS, MOVE
from ramet.data.migrations.failures import MoveError
from ramet.data.schema import ROW, Schema
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.fields.base import Field

BATCH_ROWS = 5_000
BATCH_BYTES = 8_000_000
"""Rows of one batch at most, and bytes of their texts after which a batch ends."""
ALIKE = frozenset({"text", "integer", "date", "datetime", "json"})
"""Columns whose values pass through statements in the same form whatever the engine."""
STAYS = ("incarnation", FINGERPRINT, KINDS, AWAITED, MOVE)
"""Facts that are a database's own. Places in a log mean nothing in another one's, so its name is not taken along."""
_encode = msgspec.msgpack.Encoder().encode
Row = Sequence[Any]


class Part(NamedTuple):
    """One table. Rows are in the order of `columns`, the first of which is its `key`; `converts` by their place.

    `kinds` says of the columns of a resource which kind of value they hold; others are plain.
    """

    table: str
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    converts: tuple[tuple[int, Callable[[Any], Any]], ...]

    @property
    def key(self) -> str:
        return self.columns[0]

    def convert(self, row: Row) -> Row:
        """A row of the source as the target keeps it."""
        if not self.converts:
            return row
        changed = list(row)
        for place, convert in self.converts:
            if changed[place] is not None:
                changed[place] = convert(changed[place])
        return changed


class Progress(msgspec.Struct):
    """How far a move has come. `source` names the database it is of and `head` the last row of that one's log.

    `began` is a place in the target's log with nothing of the move before it, `last` the key of the last row copied of
    each table, and `rows` how many were.
    """

    source: str
    head: int
    began: str
    last: dict[str, Any] = {}
    rows: dict[str, int] = {}


class Source(Protocol):
    """A database that nobody writes to until it is closed."""

    @property
    def name(self) -> str: ...
    @property
    def head(self) -> int: ...
    @property
    def fingerprint(self) -> str | None: ...
    def count(self, part: Part) -> int: ...
    def rows(self, part: Part, after: Any = None) -> Iterator[Row]: ...
    def pairs(self, table: str) -> dict[str, str]:
        """A table of two columns, the first its key."""

    def close(self) -> None: ...


class Target(Protocol):
    """A database with the declared schema. Each change of it is a transaction of its own."""

    @property
    def fingerprint(self) -> str | None: ...
    def progress(self) -> Progress | None: ...
    def filled(self, parts: Sequence[Part]) -> str:
        """The name of a table that has rows; empty when none has."""

    def begin(self, progress: Progress, parts: Sequence[Part]) -> None:
        """Empties the tables, and takes what would hold up the copying out of the way."""

    def put(self, part: Part, rows: Iterable[Row], progress: Progress) -> None: ...
    def rows(self, part: Part) -> Iterator[Row]: ...
    def finish(self, facts: Mapping[str, str], followers: Mapping[str, str], progress: Progress) -> None: ...
    def close(self) -> None: ...


class Told(Protocol):
    """Hears how a move goes on: at a new step with the rows that it has to pass, then as they are passed."""

    def step(self, text: str, rows: int) -> None: ...
    def passed(self, rows: int) -> None: ...


class Sum(NamedTuple):
    """The rows of a table: their number, and the sum of their hashes, which does not depend on their order."""

    rows: int
    checksum: str


class Move:
    """One move. Raises MoveError for databases between which there is none, or that are not ready for it."""

    def __init__(self, catalog: Catalog, source: str, target: str, told: Told) -> None:
        self._told = told
        opens = getattr(engine_part(source, "moving"), "open_source", None)
        receives = getattr(engine_part(target, "moving"), "open_target", None)
        if opens is None or receives is None:
            raise MoveError(
                "A move leads from an embedded database to a server: --from sqlite:///… --to postgresql://…"
            )
        engines = engine_for(source), engine_for(target)
        schemas = Schema(catalog, engines[0]), Schema(catalog, engines[1])
        self._parts = list(_parts(catalog, schemas, engines))
        self._source: Source = opens(source, schemas[0], catalog)
        try:
            self._target: Target = receives(target, schemas[1], catalog)
        except BaseException:
            self._source.close()
            raise

    def close(self) -> None:
        self._target.close()
        self._source.close()

    def run(self, *, again: bool = False) -> dict[str, Sum]:
        """Copies what is not copied yet, and proves it: the sum of each table. With `again` it begins anew.

        Raises MoveError; what was copied then stays for the next run.
        """
        progress = self._begin(again)
        self._told.step("copying", sum(map(self._source.count, self._parts)))
        self._told.passed(sum(progress.rows.values()))
        for part in self._parts:
            self._copy(part, progress)
        sums = self._prove()
        followers = self._source.pairs("ramet_followers")
        facts = {name: value for name, value in self._source.pairs("ramet_facts").items() if name not in STAYS}
        self._target.finish(facts, followers, progress)
        return sums

    def _begin(self, again: bool) -> Progress:
        source, target = self._source, self._target
        if source.fingerprint is not None:
            raise MoveError(source.fingerprint)
        if target.fingerprint is not None:
            raise MoveError(target.fingerprint)
        progress = target.progress()
        if progress is not None and (progress.source != source.name or progress.head != source.head) and not again:
            raise MoveError(
                "An unfinished move into this database was of another source, or this one has changed since. "
                "Run the command with --again to begin anew: what was copied so far is then replaced."
            )
        if progress is None and (found := target.filled(self._parts)):
            raise MoveError(f"The target has rows in {found} already. A move needs a new database.")
        if progress is None or again:
            progress = Progress(source.name, source.head, "")
            target.begin(progress, self._parts)
        return progress

    def _copy(self, part: Part, progress: Progress) -> None:
        rows = self._source.rows(part, progress.last.get(part.table))
        for batch in _batches(part, rows):
            progress.last[part.table] = batch[-1][0]
            progress.rows[part.table] = progress.rows.get(part.table, 0) + len(batch)
            try:
                self._target.put(part, map(part.convert, batch), progress)
            except ValueError as error:
                raise MoveError(
                    f"{part.table}: a value is not of its column's type ({error}). Mend it in the source, then run the "
                    "command with --again."
                ) from error
            self._told.passed(len(batch))

    def _prove(self) -> dict[str, Sum]:
        self._told.step("comparing", 2 * sum(map(self._source.count, self._parts)))
        sums = {}
        for part in self._parts:
            wanted = _sum(map(part.convert, self._source.rows(part)), self._told)
            found = _sum(self._target.rows(part), self._told)
            if wanted != found:
                raise MoveError(
                    f"{part.table}: the source has {wanted.rows} rows with the checksum {wanted.checksum}, the target "
                    f"{found.rows} with {found.checksum}. Run the command with --again to begin anew."
                )
            sums[part.table] = found
        return sums


def _parts(catalog: Catalog, schemas: tuple[Schema, Schema], engines: tuple[Engine, Engine]) -> Iterator[Part]:
    for info in catalog:
        yield _resource(info, schemas[0].tables[info.name], engines)
    for table in (schemas[0].idempotency, schemas[0].outbox, schemas[0].changes):
        yield Part(table.name, tuple(column.name for column in table.columns), {}, ())


def _resource(info: ResourceInfo, table: Table, engines: tuple[Engine, Engine]) -> Part:
    columns = tuple(column.name for column in table.columns)
    converts = [
        (place, _conversion(info.fields[name], engines))
        for place, name in enumerate(columns)
        if name != ROW and info.fields[name].column not in ALIKE
    ]
    kinds = {name: info.fields[name].column for name in columns if name != ROW}
    return Part(info.table, columns, kinds, tuple(converts))


def _conversion(field: Field, engines: tuple[Engine, Engine]) -> Callable[[Any], Any]:
    load, bind = engines[0].codec_of(field).load, engines[1].codec_of(field).bind

    def convert(value: Any) -> Any:
        value = value if load is None else load(value)
        return value if bind is None else bind(value)

    return convert


def _batches(part: Part, rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _sum(rows: Iterable[Row], told: Told) -> Sum:
    count = total = 0
    for row in rows:
        total += int.from_bytes(hashlib.blake2b(_encode(tuple(row)), digest_size=16).digest())
        count += 1
        if count % BATCH_ROWS == 0:
            told.passed(BATCH_ROWS)
    told.passed(count % BATCH_ROWS)
    return Sum(count, f"{total % 2**128:032x}")
