"""Which operation an address and a method mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ramet.declare.actions import ActionInfo
from ramet.declare.addresses import address_of
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.operations.operation import Kind

PREFIX = "/api/v1"
BATCH = f"{PREFIX}/batch"
EVENTS = f"{PREFIX}/events"
_COLLECTION: tuple[tuple[str, str, Kind], ...] = (("GET", "list", "list"), ("POST", "create", "create"))
_RECORD: tuple[tuple[str, str, Kind], ...] = (
    ("GET", "get", "get"),
    ("PATCH", "update", "update"),
    ("PUT", "update", "replace"),
    ("DELETE", "delete", "delete"),
)


class Target(msgspec.Struct, frozen=True):
    """One operation of the API: `name` is how metrics, logs and the reference call it."""

    method: str
    path: str
    kind: Kind
    name: str
    info: ResourceInfo
    action: ActionInfo | None = None


class Route(msgspec.Struct):
    """The operations of one address, by method. HEAD is GET without the body."""

    targets: dict[str, Target]

    @property
    def allow(self) -> str:
        methods = [*self.targets, *(["HEAD"] if "GET" in self.targets else []), "OPTIONS"]
        return ", ".join(sorted(methods))


class Match(NamedTuple):
    """The route of an address, and the id in it (empty for collections)."""

    route: Route
    record_id: str


class Routes:
    """All addresses of the resources of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._fixed: dict[str, Route] = {}
        self._records: dict[str, Route] = {}
        self._record_actions: dict[tuple[str, str], Route] = {}
        for info in catalog:
            self._add_resource(info)

    def match(self, path: str) -> Match | None:
        """The route of an address; None when there is none."""
        route = self._fixed.get(path)
        if route is not None:
            return Match(route, "")
        head, _, last = path.rpartition("/")
        if last:
            route = self._records.get(head)
            if route is not None:
                return Match(route, last)
            base, _, record_id = head.rpartition("/")
            route = self._record_actions.get((base, last))
            if route is not None and record_id:
                return Match(route, record_id)
        return None

    def __iter__(self) -> Iterator[Target]:
        """Every operation, in the order of addresses."""
        routes = [*self._fixed.values(), *self._records.values(), *self._record_actions.values()]
        targets = [target for route in routes for target in route.targets.values()]
        return iter(sorted(targets, key=lambda target: (target.path, target.method)))

    def _add_resource(self, info: ResourceInfo) -> None:
        base = f"{PREFIX}/{info.path}"
        for method, needed, kind in _COLLECTION:
            if needed in info.operations:
                self._put(self._fixed, base, Target(method, base, kind, f"{info.path}.{kind}", info))
        for method, needed, kind in _RECORD:
            if needed in info.operations:
                self._put(self._records, base, Target(method, base + "/{id}", kind, f"{info.path}.{kind}", info))
        for action in info.actions.values():
            self._add_action(info, base, action)

    def _add_action(self, info: ResourceInfo, base: str, action: ActionInfo) -> None:
        method = "GET" if action.reads else "POST"
        word = action.name.replace("_", "-")
        name = f"{info.path}.{word}"
        path = f"{PREFIX}{address_of(info.path, action)}"
        if action.on_collection:
            self._put(self._fixed, path, Target(method, path, "action", name, info, action))
        else:
            route = self._record_actions.setdefault((base, word), Route({}))
            route.targets[method] = Target(method, path, "action", name, info, action)

    def _put(self, routes: dict[str, Route], key: str, target: Target) -> None:
        routes.setdefault(key, Route({})).targets[target.method] = target
