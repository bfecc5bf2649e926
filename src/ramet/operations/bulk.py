"""Many records of one resource in and out, for command lines: no request, no limits, the system's rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import msgspec
from sqlalchemy import bindparam, update

from ramet.data.query import Filter, Query
from ramet.data.reads import Guard
from ramet.data.statement import compile_statement
from ramet.data.store import Transaction
from ramet.declare.catalog import BASE_FIELDS, ResourceInfo
from ramet.declare.inputs import input_struct
from ramet.errors import Problem
from ramet.identity.caller import system
from ramet.operations.core import Core
from ramet.operations.hooks import raised_by_hook
from ramet.operations.inputs import decode_input
from ramet.operations.writing import Writing

PAGE = 500
_EVERY = Guard("bulk", None)


class Entry(msgspec.Struct, frozen=True):
    """One record to store: the line it stands on, and its JSON text or decoded values, or what is wrong with it."""

    line: int
    source: bytes | Mapping[str, Any] | Problem


class Progress(msgspec.Struct):
    """How far a load has come: all lines to `line` and those of `beyond`, and how many were stored and refused."""

    line: int = 0
    beyond: list[int] = []
    stored: int = 0
    refused: int = 0


class Loading:
    """Stores records of `info`, as `owner`'s where they do not name one, and remembers how far it came as `name`.

    A record may bring along what `dump` writes: its id, owner, times, version and read-only fields.
    Each is a transaction of its own, which also remembers the place; those of one call share their commits.
    """

    def __init__(self, core: Core, writing: Writing, info: ResourceInfo, owner: str | None, name: str) -> None:
        self._core = core
        self._writing = writing
        self._info = info
        self._caller = msgspec.structs.replace(system(), id=owner)
        self._permit = core.authority.permit(info, "create", self._caller)
        self._fields = {key: field for key, field in info.fields.items() if not field.marks.hidden}
        self._decoder = msgspec.json.Decoder(input_struct(f"{info.name}Load", self._fields))
        self._checked = tuple(field for field in self._fields.values() if field.checked)
        self._name = f"load {name}"
        facts = core.schema.facts
        clause = update(facts).where(facts.c.name == bindparam("fact")).values(value=bindparam("text"))
        self._remember = compile_statement(clause, core.engine.dialect)
        self.progress = Progress()
        # What is remembered is counted here, and stored with each record: one must be stored before the next counts.
        self._turn = nullcontext() if core.store.one_at_a_time else asyncio.Lock()

    async def begin(self, *, again: bool = False) -> Progress:
        """Where an earlier load of the same name stopped, or with `again` the start."""
        start = msgspec.json.encode(Progress()).decode()
        text = await self._core.store.fact(self._name, lambda: start)
        self.progress = Progress() if again else msgspec.json.decode(text, type=Progress)
        return self.progress

    async def store(self, entries: Sequence[Entry]) -> list[tuple[Entry, Problem]]:
        """Stores what comes next; those that were refused, with the reason.

        Raises Problem when the database itself does not take them: those that it took are remembered.
        """
        done = set(self.progress.beyond)
        entries = [entry for entry in entries if entry.line > self.progress.line and entry.line not in done]
        outcomes = await asyncio.gather(*map(self._one, entries), return_exceptions=True)
        refused = []
        for entry, outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Problem) and outcome.status < 500:
                refused.append((entry, outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
        if entries:
            self.progress = msgspec.structs.replace(self.progress, line=entries[-1].line, beyond=[])
        return refused

    async def finish(self) -> None:
        """Remembers that all was dealt with."""
        await self._core.store.write(self._remember_progress)

    async def _one(self, entry: Entry) -> None:
        async def work(tx: Transaction) -> None:
            if isinstance(entry.source, Problem):
                raise entry.source
            values, base = self._values(entry.source)
            await self._writing.create(tx, self._info, values, self._caller, self._permit, base)
            await self._advance(tx, entry, stored=1)

        async def skip(tx: Transaction) -> None:
            await self._advance(tx, entry, refused=1)

        async with self._turn:
            try:
                await self._core.store.write(work)
            except Problem as problem:
                if problem.status < 500:
                    await self._core.store.write(skip)
                raise
            except Exception as error:
                if not raised_by_hook(error):
                    raise
                await self._core.store.write(skip)
                raise Problem("bad_request", f"the hook failed: {type(error).__name__}: {error}") from error

    async def _advance(self, tx: Transaction, entry: Entry, *, stored: int = 0, refused: int = 0) -> None:
        """Counts in the transaction, once if it runs again: these writes run one after the other."""
        if entry.line not in self.progress.beyond:
            self.progress.beyond.append(entry.line)
            self.progress.stored += stored
            self.progress.refused += refused
        await self._remember_progress(tx)

    async def _remember_progress(self, tx: Transaction) -> None:
        text = msgspec.json.encode(self.progress).decode()
        await tx.fetch(self._remember, {"fact": self._name, "text": text})

    def _values(self, source: bytes | Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The record's own values, and the base ones it brings along as they are stored."""
        found = decode_input(source, self._decoder, self._fields, self._checked)
        codec = self._core.reads[self._info.name].codec
        values, base = {}, {}
        for name, field in self._info.fields.items():
            value = getattr(found, name, msgspec.UNSET)
            if name not in BASE_FIELDS:
                values[name] = field.initial() if value is msgspec.UNSET else value
            elif value is not msgspec.UNSET and value is not None:
                base[name] = codec.bind(name, value)
        return values, base


class Dumping:
    """Reads the records of `info` in the order of their ids, without hidden fields, a page at a time."""

    def __init__(self, core: Core, info: ResourceInfo) -> None:
        self._core = core
        self._info = info

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        """Pages of objects that msgspec encodes as the API does. What changes meanwhile may be seen or not."""
        reads = self._core.reads[self._info.name]
        query = Query(sort=(("id", False),), limit=PAGE)
        while True:
            statement = reads.full_list_plan(query, _EVERY)
            rows = (await self._core.store.fetch(statement, reads.values(query)))[:PAGE]
            if rows:
                yield [reads.codec.wire(row) for row in rows]
            if len(rows) < PAGE:
                return
            after = (Filter("id", "gt", (rows[-1][reads.codec.position["id"]],)),)
            query = Query(filters=after, sort=(("id", False),), limit=PAGE)
