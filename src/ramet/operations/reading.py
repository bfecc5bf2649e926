"""Lists and single records: from the near cache when nothing has touched them, else from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

import msgspec
from xxhash import xxh3_128_hexdigest

from ramet.cache.near import Entry
from ramet.cache.records import Shelf
from ramet.data.query import Query
from ramet.data.reads import ListPlan
from ramet.data.store import Rows
from ramet.declare.catalog import ResourceInfo
from ramet.errors import Fault, Problem
from ramet.operations.authority import Permit
from ramet.operations.bound import Bound, Known
from ramet.operations.core import Core
from ramet.operations.expansion import Expansion
from ramet.operations.operation import Operation, Result

_encode = msgspec.json.Encoder().encode


class Reading:
    """Serves `list` and `get`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._near = core.near
        self._answers = core.sharing.answers
        self._expansion = Expansion(core)
        self._loads: dict[Hashable, tuple[int, tuple[str, ...], asyncio.Future[Result]]] = {}

    def plan(self, operation: Operation) -> Query:
        """The query, which its interface has checked against the declaration."""
        return operation.query

    def authorize(self, operation: Operation, plan: Query) -> Permit:
        """The permit to read. Filters and sort keys that this caller may not see do not exist for it."""
        info, one = operation.info, operation.kind == "get"
        permit = self._core.authority.permit(info, "read" if one else "list", operation.caller)
        if permit.refused:
            self._core.authority.require(permit, operation.caller, info if one else None)
        if permit.closed:
            refuse_closed(info, plan, permit)
        return permit

    def find(self, operation: Operation, permit: Permit) -> Result | None:
        """The kept answer, exact as of this call; None when it must be read."""
        info = operation.info
        if not info.cache or not operation.synced:
            return None
        key = self._key(operation, permit)
        entry = self._near.get(key)
        if entry is None:
            return None
        public = _public(operation, permit)
        return Result(entry.body, etag=entry.etag, cache="near", entry=entry, key=key, public=public)

    async def execute(self, operation: Operation, plan: Query, permit: Permit) -> Result:
        """Reads the answer and keeps it. Of equal loads at one time, one runs; the others take its answer."""
        info = operation.info
        if not info.cache:
            return await self._read(operation, permit)
        key = self._key(operation, permit)
        tags = self._tags(operation, info, permit)
        # Only a process that knows of every change up to this request knows that a load is not of before one.
        while operation.synced and (under_way := self._loads.get(key)) is not None:
            if self._near.touched(under_way[1], under_way[0]):
                break
            shared = await _join(under_way[2])
            if shared is not None:
                return shared
        began = self._near.counter
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._loads[key] = (began, tags, future)
        answers = self._answers if operation.synced else None
        stamp = None if answers is None else answers.stamp()
        age = 0.0
        try:
            found = None if answers is None else await answers.find(key, tags)
            if found is None:
                result = await self._read(operation, permit)
                result.cache = "miss"
            else:
                result, age = Result(found.body, etag=found.etag, cache="shared"), found.age
        except BaseException as error:
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()
            else:
                future.cancel()
            raise
        finally:
            if self._loads.get(key, (0, (), None))[2] is future:
                del self._loads[key]
        result.public = _public(operation, permit)
        entry = Entry(result.body, result.etag, tags, began, self._near.now() + info.cache - age)
        if self._near.put(key, entry):
            result.entry, result.key = entry, key
            if answers is not None and found is None:
                answers.keep(key, stamp, result.body, result.etag, info.cache)
        future.set_result(result)
        return result

    def _key(self, operation: Operation, permit: Permit) -> Hashable:
        """Equal for requests that have one answer, whoever sends them."""
        if operation.query.expand:
            expanded = self._expansion.key(operation.info, operation)
            return operation.name, operation.id, operation.query.key, permit.key, expanded
        return operation.name, operation.id, operation.query.key, permit.key

    def _tags(self, operation: Operation, info: ResourceInfo, permit: Permit) -> tuple[str, ...]:
        if operation.query.expand:
            targets = {info.references[name].target for name in operation.query.expand}
            return (*permit.tags, info.name, *targets, *self._expansion.tags(info, operation))
        if operation.kind == "get":
            return (f"{info.name}:{operation.id}", *permit.tags[1:])
        return permit.tags

    def bind(self, operation: Operation, permit: Permit) -> Bound | None:
        """What reads the answer, with all its values; None when one statement is not enough."""
        if operation.query.expand or operation.query.count:
            return None
        return self._bind_get(operation, permit) if operation.kind == "get" else self._bind_list(operation, permit)

    def bind_again(self, operation: Operation, permit: Permit) -> Bound | None:
        """The same, for a read that will be run again: with the shorter way, where there is one."""
        bound = self.bind(operation, permit)
        shelf = self._core.records.shelf(operation.info.name)
        if bound is None or shelf is None or operation.query.fields is not None or operation.info.access.fields:
            return bound
        short = self._known_get if operation.kind == "get" else self._known_list
        return msgspec.structs.replace(bound, known=short(operation, permit, bound, shelf))

    async def _read(self, operation: Operation, permit: Permit) -> Result:
        bound = self.bind(operation, permit)
        if bound is None:
            return await (self._get if operation.kind == "get" else self._list)(operation, permit)
        kept = bool(operation.info.cache)
        rows = await self._core.store.read(bound.statement, bound.values, operation.after, keeps=kept)
        return bound.finish(rows)

    def _bind_get(self, operation: Operation, permit: Permit) -> Bound:
        info = operation.info
        statement, shape = self._core.reads[info.name].get_plan(operation.query.fields, permit.guard)
        names = shape.names
        width, place = len(names), names.index("version") if "version" in names else -1
        masked = bool(info.access.fields)

        def finish(rows: Rows) -> Result:
            if not rows:
                raise Problem("not_found")
            row = rows[0]
            body = _encode(shape.wire_one(row[:width]))
            # What is shown may depend on more than the record: its version alone does not name the answer then.
            return Result(body, etag=f'"{row[place]}-{_digest(body)}"' if masked else f'"{row[place]}"')

        values = {"id": operation.id, **permit.values}
        return Bound(statement, values, statement.arguments(values), finish)

    def _known_get(self, operation: Operation, permit: Permit, bound: Bound, shelf: Shelf) -> Known | None:
        records, reads = self._core.records, self._core.reads[operation.info.name]
        statement = reads.place_plan(permit.guard)
        if statement is None:
            return None
        version = reads.get_plan(None, permit.guard)[1].names.index("version")

        def finish(rows: Rows) -> Result | None:
            records.fresh()
            kept = shelf.get(rows[0][0]) if rows else None
            return Result(kept[1], etag=f'"{kept[0]}"') if kept is not None and kept[0] == rows[0][1] else None

        def keep(rows: Rows) -> Result:
            result = bound.finish(rows)
            records.put(shelf, operation.id, rows[0][version], result.body)
            return result

        return Known(statement, statement.arguments(bound.values), finish, keep)

    async def _get(self, operation: Operation, permit: Permit) -> Result:
        """One record with those it refers to."""
        bound = self._bind_get(operation, permit)
        rows = await self._core.store.fetch(bound.statement, bound.values)
        if not rows:
            raise Problem("not_found")
        _, shape = self._core.reads[operation.info.name].get_plan(operation.query.fields, permit.guard)
        record = shape.wire_one(rows[0][: len(shape.names)])
        (expanded,) = await self._expansion.expand(operation.info, operation, [record])
        body = _encode(expanded)
        return Result(body, etag=content_etag(body))

    def _bind_list(self, operation: Operation, permit: Permit) -> Bound:
        info, query = operation.info, operation.query
        reads = self._core.reads[info.name]
        plan = reads.list_plan(query, permit.guard)

        def finish(rows: Rows) -> Result:
            shown, more = _shown(query, rows)
            return _listed(_encode(plan.wire(shown)), self._page(info, query, plan, shown, more))

        values = {**reads.values(query), **permit.values}
        return Bound(plan.statement, values, plan.statement.arguments(values), finish)

    def _known_list(self, operation: Operation, permit: Permit, bound: Bound, shelf: Shelf) -> Known | None:
        info, query, records = operation.info, operation.query, self._core.records
        whole = self._core.reads[info.name].list_plan(query, permit.guard)
        plan = self._core.reads[info.name].places_plan(query, permit.guard)
        if plan is None:
            return None
        ends: tuple[Any, ...] = ()
        page = b""

        def finish(rows: Rows) -> Result | None:
            nonlocal ends, page
            records.fresh()
            shown, more = _shown(query, rows)
            find, parts = shelf.get, []
            for row in shown:
                kept = find(row[0])
                if kept is None or kept[0] != row[1]:
                    return None
                parts.append(kept[1])
            now = (shown[0], shown[-1], more) if shown else ()
            if now != ends or not page:  # most pages begin and end where they did before
                ends, page = now, self._page(info, query, plan, shown, more)
            return _listed(b"[" + b",".join(parts) + b"]", page)

        record_id, version = whole.shape.names.index("id"), whole.shape.names.index("version")

        def keep(rows: Rows) -> Result:
            shown, more = _shown(query, rows)
            parts = [_encode(record) for record in whole.wire(shown)]
            for row, json in zip(shown, parts, strict=True):
                records.put(shelf, row[record_id], row[version], json)
            return _listed(b"[" + b",".join(parts) + b"]", self._page(info, query, whole, shown, more))

        return Known(plan.statement, plan.statement.arguments(bound.values), finish, keep)

    async def _list(self, operation: Operation, permit: Permit) -> Result:
        """A list with what its records refer to, or with the number of all there are."""
        info, query = operation.info, operation.query
        plan = self._core.reads[info.name].list_plan(query, permit.guard)
        bound = self._bind_list(operation, permit)
        shown, more = _shown(query, await self._core.store.fetch(bound.statement, bound.values))
        records = plan.wire(shown)
        if query.expand:
            records = await self._expansion.expand(info, operation, records)
        page = self._page(info, query, plan, shown, more)
        count = await self._count(operation, info, permit) if query.count else b""
        body = b'{"items":' + _encode(records) + page + count + b"}"
        return Result(body, etag=content_etag(body))

    async def _count(self, operation: Operation, info: ResourceInfo, permit: Permit) -> bytes:
        reads = self._core.reads[info.name]
        statement = reads.count_plan(operation.query, permit.guard)
        rows = await self._core.store.fetch(statement, {**reads.values(operation.query), **permit.values})
        return b',"count":%d' % rows[0][0]

    def _page(self, info: ResourceInfo, query: Query, plan: ListPlan, rows: Rows, more: bool) -> bytes:
        """The cursors of the pages beside this one, null where there is none."""
        onward = more if not query.backward else query.place is not None
        backward = query.place is not None if not query.backward else more
        if not rows or not (onward or backward):
            return b',"next":null,"previous":null'
        scope = cursor_scope(info, query.sort)
        make = self._core.cursors.make
        after = f'"{make(scope, [rows[-1][place] for place in plan.keys])}"' if onward else "null"
        before = f'"{make(scope, [rows[0][place] for place in plan.keys])}"' if backward else "null"
        return f',"next":{after},"previous":{before}'.encode()


def _listed(items: bytes, page: bytes) -> Result:
    body = b'{"items":' + items + page + b"}"
    return Result(body, etag=content_etag(body))


def _shown(query: Query, rows: Rows) -> tuple[Rows, bool]:
    """The rows of this page in the order of the list, and whether there are more beyond it."""
    shown = rows[: query.limit]
    return (shown[::-1] if query.backward else shown), len(rows) > query.limit


def cursor_scope(info: ResourceInfo, sort: tuple[tuple[str, bool], ...]) -> str:
    """What a cursor is good for: one resource in one order."""
    return info.name + "".join(f" {'-' if descending else ''}{name}" for name, descending in sort)


async def _join(load: asyncio.Future[Result]) -> Result | None:
    """The result of a load that another request began; None when that request was given up before it was done."""
    await asyncio.wait([load])
    return None if load.cancelled() else load.result()


def _public(operation: Operation, permit: Permit) -> bool:
    """Whether every caller gets the same."""
    return permit.always and not permit.masked and not operation.query.expand


def refuse_closed(info: ResourceInfo, query: Query, permit: Permit) -> None:
    """What only some records show may be asked for, and is null elsewhere; finding records by it would tell it."""
    closed = permit.closed
    used = {item.field for item in query.filters} | {name for name, _ in query.sort}
    if query.search and not closed.isdisjoint(info.search):
        raise Problem("invalid_query", faults=[Fault("?q", "unknown_parameter", "This resource has no text search.")])
    hidden = permit.guard.omitted.intersection(query.fields or ())
    faults = [
        Fault(f"?{name}", "unknown_field", "There is no such field.") for name in sorted((used & closed) | hidden)
    ]
    if faults:
        raise Problem("invalid_query", faults=faults)


def content_etag(body: bytes) -> str:
    """A strong validator of a body."""
    return f'"{_digest(body)}"'


def _digest(body: bytes) -> str:
    return xxh3_128_hexdigest(body)
