"""What is asked for, and what comes of it, whatever interface asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ramet.cache.near import Entry
from ramet.data.query import Query
from ramet.declare.actions import ActionInfo
from ramet.declare.catalog import ResourceInfo
from ramet.identity.caller import ANONYMOUS, Caller

Kind = Literal["list", "get", "create", "update", "replace", "delete", "action", "batch", "watch"]
READS = frozenset({"list", "get"})
NO_QUERY = Query(key="")


class Exchange(msgspec.Struct, gc=False):
    """What an operation may know of the request that carried it, and what it adds to the answer.

    `browser`: cookies were sent and believed; `same_origin`: a page of ours sent it, as far as its headers tell.
    `position` is that of the newest transaction of an action that opens its own.
    """

    address: str = ""
    group: str = ""
    cookies: str | None = None
    browser: bool = False
    same_origin: bool = False
    agent: str = ""
    headers: list[tuple[str, str]] = []
    position: str = ""


class Operation(msgspec.Struct, kw_only=True, gc=False):
    """One thing to do. `input` is JSON text or decoded values; `match` the versions that `If-Match` allows,
    `any_match` that it was `*`, which any stored record meets.

    The stages of the pipeline fill `caller`, `allowance`, `permit`, `marks` (seconds at the end of each stage) and
    `synced` (this process's copies of data may be used: they hold what was committed before its start, or within the
    bound of staleness, and in any case what was written at the position `after`, which the caller has seen).
    """

    kind: Kind
    name: str
    info: ResourceInfo
    action: ActionInfo | None = None
    id: str = ""
    query: Query = NO_QUERY
    input: bytes | Mapping[str, Any] | None = None
    match: tuple[str, ...] | None = None
    any_match: bool = False
    idempotency_key: str = ""
    token: str | None = None
    via: Literal["bearer", "cookie"] = "bearer"
    after: str = ""
    exchange: Exchange = msgspec.field(default_factory=Exchange)
    caller: Caller = ANONYMOUS
    allowance: Any = None
    permit: Any = None
    marks: list[float] = []
    synced: bool = False


class Result(msgspec.Struct, gc=False):
    """A finished answer. `body` is JSON; `cache` tells where it came from; `location` names what was made.

    `public` says that every caller would get the same; `key` is that of `entry` in the near cache, when it is kept.
    `watch` is what a `watch` gives: something to subscribe to. `fleeting`: it must not be kept, nor given to others.
    """

    body: bytes
    status: int = 200
    etag: str = ""
    cache: Literal["near", "shared", "miss", "bypass"] = "bypass"
    entry: Entry | None = None
    key: Any = None
    public: bool = False
    position: str = ""
    location: str = ""
    replayed: bool = False
    watch: Any = None
    fleeting: bool = False
