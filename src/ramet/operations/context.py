"""What actions and hooks are given: the caller, and operations that run as that caller in the same transaction."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from ramet.data.query import Filter, Query
from ramet.data.statement import Statement
from ramet.data.store import Rows, Transaction
from ramet.declare.catalog import BASE_FIELDS, ResourceInfo
from ramet.declare.resource import Resource
from ramet.errors import Problem
from ramet.identity.caller import Caller, system
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.operation import Exchange
from ramet.operations.ordering import read_order
from ramet.operations.writing import Writing

R = TypeVar("R", bound=Resource)
T = TypeVar("T")
DELETED = 0
"""The version of a record object whose record was deleted."""
OPERATORS = {"not": "ne", "lt": "lt", "lte": "lte", "gt": "gt", "gte": "gte", "in": "in", "contains": "contains"}


class Account(Protocol):
    """A user, as far as rules ask."""

    @property
    def id(self) -> str: ...

    @property
    def roles(self) -> Sequence[str]: ...


class Context:
    """Runs operations as `caller`. Rules hold for all of them; `as_system()` gives a context for which they do not.

    Inside a transaction everything it does is committed together with the operation, or not at all.
    `previous` is the record before the change, in hooks before updates and deletions. `change` identifies the change,
    in hooks after it: a hook that runs a second time for one change is given the same.
    """

    __slots__ = ("_core", "_tx", "_writing", "caller", "change", "exchange", "previous")

    def __init__(
        self,
        core: Core,
        writing: Writing,
        caller: Caller,
        tx: Transaction | None = None,
        exchange: Exchange | None = None,
        previous: Any = None,
        change: str = "",
    ) -> None:
        self._core = core
        self._writing = writing
        self._tx = tx
        self.caller = caller
        self.exchange = exchange or Exchange()
        self.previous = previous
        self.change = change

    @property
    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.fromtimestamp(self._core.now() / 1e6, UTC)

    def part(self, kind: type[T]) -> T:
        """The application's object of a type, given to `App(parts=[...])`. Raises LookupError when there is none."""
        return self._core.part(kind)

    def as_system(self) -> Context:
        """A context that may do everything, in the same transaction."""
        return Context(self._core, self._writing, system(), self._tx, self.exchange, self.previous)

    def as_user(self, user: Account) -> Context:
        """A context that acts as `user`, in the same transaction: rules hold, and what it creates is the user's own."""
        caller = Caller(user.id, frozenset(user.roles), None, self._core.now() / 1e6, math.inf, "bearer")
        return Context(self._core, self._writing, caller, self._tx, self.exchange, self.previous)

    async def atomically(self, work: Callable[[Context], Awaitable[T]]) -> T:
        """Runs `work` with a context of one transaction: all of it is committed, or none."""
        if self._tx is not None:
            return await work(self)

        async def run(tx: Transaction) -> T:
            result = await work(Context(self._core, self._writing, self.caller, tx, self.exchange, self.previous))
            self.exchange.position = str(tx.position or self.exchange.position)
            return result

        return await self._core.store.write(run)

    async def find(self, resource: type[R], record_id: str) -> R | None:
        """The record of an id, or None when there is none that the caller may read."""
        info, permit = self._permit(resource, "read")
        rows = await self._fetch(
            self._core.reads[info.name].full_plan(permit.guard), {"id": record_id, **permit.values}
        )
        return self._load(info, rows[0]) if rows else None

    async def get(self, resource: type[R], record_id: str) -> R:
        """The record of an id. Raises Problem `not_found`."""
        found = await self.find(resource, record_id)
        if found is None:
            raise Problem("not_found")
        return found

    async def list(self, resource: type[R], *, sort: str = "", limit: int = 100, **filters: Any) -> list[R]:
        """The first records that match: `status="open"`, `due_at__lt=now`, `status__in=[...]`, `due_at=None`."""
        info, permit = self._permit(resource, "list")
        query = self._query(info, sort, limit, filters)
        reads = self._core.reads[info.name]
        rows = await self._search(reads.full_list_plan(query, permit.guard), {**reads.values(query), **permit.values})
        return [self._load(info, row) for row in rows[:limit]]

    async def count(self, resource: type[Resource], **filters: Any) -> int:
        """How many records match, filters as in `list`."""
        info, permit = self._permit(resource, "list")
        query = self._query(info, "", 1, filters)
        reads = self._core.reads[info.name]
        rows = await self._search(reads.count_plan(query, permit.guard), {**reads.values(query), **permit.values})
        return int(rows[0][0])

    async def count_by(self, resource: type[Resource], field: str, **filters: Any) -> dict[Any, int]:
        """How many records match for each value of a field, in one query, filters as in `list`."""
        info, permit = self._permit(resource, "list")
        query = self._query(info, "", 1, filters)
        reads = self._core.reads[info.name]
        statement = reads.count_by_plan(field, query, permit.guard)
        rows = await self._search(statement, {**reads.values(query), **permit.values})
        load = reads.codec.codecs[field].load
        return {value if load is None or value is None else load(value): number for value, number in rows}

    async def create(self, record: R) -> R:
        """Stores a new record and returns it as stored. It is the caller's own; the system may give it any owner."""
        info, permit = self._permit(type(record), "create")
        self._core.authority.require(permit, self.caller)
        own = {name: getattr(record, name) for name in info.fields if name not in BASE_FIELDS}
        base = {"owner": record.owner} if self.caller.via == "system" else None

        async def run(tx: Transaction) -> Any:
            return self._load(info, await self._writing.create(tx, info, own, self.caller, permit, base))

        created: R = await self._change(run)
        return created

    async def update(self, record: R, **changes: Any) -> R:
        """Stores the record as it now is, with `changes`; refuses when somebody else changed it meanwhile.

        The record given becomes as it is stored.
        """
        info, permit = self._permit(type(record), "update")
        for name, value in changes.items():
            setattr(record, name, value)
        match = (f'"{record.version}"',)
        values = {name: getattr(record, name) for name in info.fields if name not in BASE_FIELDS}

        async def run(tx: Transaction) -> Any:
            row = await self._writing.update(tx, info, record.id, values, self.caller, permit, match)
            return self._load(info, row)

        stored: R = await self._change(run)
        for name in info.fields:
            setattr(record, name, getattr(stored, name))
        return stored

    async def delete(self, record: Resource) -> None:
        """Deletes a record and what depends on it."""
        info, permit = self._permit(type(record), "delete")

        async def run(tx: Transaction) -> None:
            await self._writing.delete(tx, info, record.id, self.caller, permit, None)

        await self._change(run)
        record.version = DELETED

    async def _change(self, run: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """In an open transaction, what a refused change has done by then is undone, also if the refusal is caught."""

        async def work(ctx: Context) -> Any:
            tx = ctx.transaction
            return await run(tx) if self._tx is None else await tx.part(lambda: run(tx))

        return await self.atomically(work)

    @property
    def transaction(self) -> Transaction:
        """The transaction this context runs in."""
        if self._tx is None:
            raise RuntimeError("This context has no transaction: use ctx.atomically(work).")
        return self._tx

    def _permit(self, resource: type[Resource], verb: str) -> tuple[ResourceInfo, Permit]:
        info = self._core.catalog.of(resource)
        return info, self._core.authority.permit(info, verb, self.caller)

    async def _fetch(self, statement: Statement, values: dict[str, Any]) -> Rows:
        if self._tx is not None:
            return await self._tx.fetch(statement, values)
        return await self._core.store.fetch(statement, values)

    async def _search(self, statement: Statement, values: dict[str, Any]) -> Rows:
        if self._tx is not None:
            return await self._tx.search(statement, values)
        return await self._core.store.fetch(statement, values)

    def _load(self, info: ResourceInfo, row: Any) -> Any:
        return self._core.reads[info.name].codec.load(row)

    def _query(self, info: ResourceInfo, sort: str, limit: int, filters: dict[str, Any]) -> Query:
        found = []
        for key, value in filters.items():
            name, _, word = key.partition("__")
            if name not in info.fields or (word and word not in OPERATORS):
                raise TypeError(f"{info.name} has no filter {key!r}.")
            if value is None:
                found.append(Filter(name, "is", (word != "not",)))
            elif word == "in":
                found.append(Filter(name, "in", tuple(value)))
            else:
                found.append(Filter(name, OPERATORS.get(word, "eq"), (value,)))  # type: ignore[arg-type]  # checked above
        return Query(filters=tuple(found), sort=read_order(info, sort or info.sort), limit=limit)
