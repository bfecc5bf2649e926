"""Addresses below /api/v1: which are Ramet's own, which an action has, and that no two operations have the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ramet.declare.actions import ActionInfo
from ramet.declare.names import plural_path
from ramet.declare.resource import Resource
from ramet.declare.source import refuse

RESERVED = frozenset({"auth", "batch", "events", "live"})
"""Addresses that no resource and no action can have; what is below `auth` are actions of users."""
TABLES = frozenset(
    f"ramet-{name}" for name in ("changes", "facts", "followers", "idempotency", "limits", "outbox", "revisions")
)
"""Addresses whose tables would be Ramet's own."""
_PATH = re.compile(r"[a-z][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")


class Declared(NamedTuple):
    """What has addresses: a resource, its path, the operations it offers and its actions."""

    cls: type[Resource]
    path: str
    operations: Collection[str]
    actions: Mapping[str, ActionInfo]


def address_of(path: str, action: ActionInfo) -> str:
    """The address of an action of the resource at `path`, below /api/v1."""
    if action.path:
        return action.path
    word = action.name.replace("_", "-")
    return f"/{path}/{word}" if action.on_collection else f"/{path}/{{id}}/{word}"


def check_path(cls: type[Resource]) -> None:
    """The address of a resource: lower-case words, none of which is taken."""
    if cls.path and not _PATH.fullmatch(cls.path):
        refuse(cls, "path", f"'{cls.path}' is not an address: use lower-case words joined by '-' or '/'")
    path = cls.path or plural_path(cls.__name__)
    if path in RESERVED or path.replace("/", "-") in TABLES or path.startswith("auth/"):
        refuse(cls, "path", f"'{path}' is an address that Ramet uses itself; choose another")


def check_addresses(declared: Iterable[Declared]) -> None:
    """No two operations share method and address."""
    taken: dict[tuple[str, str], str] = {}
    known = list(declared)
    for one in known:
        for method, operation, address in _own(one.path):
            if operation in one.operations:
                taken[method, address] = f"{one.cls.__name__} has its {operation}"
    for one in known:
        for name, action in one.actions.items():
            _check_action_path(one.cls, name, action)
            place = "GET" if action.reads else "POST", address_of(one.path, action)
            if place in taken:
                refuse(one.cls, name, f"{taken[place]} at {' /api/v1'.join(place)} already; give it another `path`")
            taken[place] = f"{one.cls.__name__} has its action '{name}'"


def _own(path: str) -> Iterator[tuple[str, str, str]]:
    yield "GET", "list", f"/{path}"
    yield "POST", "create", f"/{path}"


def _check_action_path(cls: type[Resource], name: str, action: ActionInfo) -> None:
    path = action.path
    if not path:
        return
    if not action.on_collection:
        refuse(cls, name, f"is an action on a record, whose address has the record's id in it: take path={path!r} out")
    if not path.startswith("/") or not _PATH.fullmatch(path[1:]):
        refuse(cls, name, f"path={path!r} is not an address: write '/' before lower-case words joined by '-' or '/'")
    if path[1:] in RESERVED or path == "/users/me":
        refuse(cls, name, f"path={path!r} is an address that Ramet uses itself; choose another")
