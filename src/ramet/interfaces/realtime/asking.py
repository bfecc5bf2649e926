"""What a subscriber asks for: a resource with the filters of its list, or one record."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from ramet.data.query import Query
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.names import nearest
from ramet.errors import Fault, Problem
from ramet.interfaces.rest.query import LIST_PARAMETERS, Queries, split_query

OWN = ("resource", "last_event_id", "wait")
LONGEST_WAIT = 86_400
_NOT_HERE = frozenset(LIST_PARAMETERS) - {"fields"}


class Ask(msgspec.Struct):
    """`record_id` is empty for a whole resource; `mark` is where to go on from, `wait` seconds for which to."""

    info: ResourceInfo
    query: Query
    record_id: str
    mark: str | None
    wait: float | None


class Asking:
    """Reads what subscribers ask for."""

    def __init__(self, catalog: Catalog, queries: Queries) -> None:
        self._catalog = catalog
        self._queries = queries

    def read(self, text: str) -> Ask:
        """From a query string. Raises Problem `invalid_query`."""
        faults: list[Fault] = []
        given = split_query(text, faults)
        own = {name: given.pop(name) for name in OWN if name in given}
        info = self._resource(own.get("resource", ""), "id" in given, faults)
        wait = _wait(own.get("wait"), faults)
        faults += [
            Fault(f"?{name}", "unknown_parameter", "Subscriptions take filters and `fields` only.")
            for name in sorted(_NOT_HERE & given.keys())
        ]
        if faults or info is None:
            raise Problem("invalid_query", faults=faults)
        query = self._queries.read_once(info, urlencode(given), one=False)
        record_id = next((item.values[0] for item in query.filters if (item.field, item.operator) == ("id", "eq")), "")
        if record_id:
            rest = tuple(item for item in query.filters if (item.field, item.operator) != ("id", "eq"))
            query = msgspec.structs.replace(query, filters=rest)
        return Ask(info, query, record_id, own.get("last_event_id") or None, wait)

    def _resource(self, path: str, one: bool, faults: list[Fault]) -> ResourceInfo | None:
        info = self._catalog.by_path.get(path)
        if info is not None and ("get" if one else "list") in info.operations:
            return info
        if path:
            known = [one.path for one in self._catalog if "list" in one.operations]
            faults.append(Fault("?resource", "unknown_resource", f"There is no such resource.{nearest(path, known)}"))
        else:
            faults.append(Fault("?resource", "required", "Name a resource, as `resource=tasks`."))
        return None


def _wait(text: str | None, faults: list[Fault]) -> float | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= LONGEST_WAIT:
        return float(text)
    faults.append(Fault("?wait", "invalid_value", f"Expected whole seconds from 0 to {LONGEST_WAIT}."))
    return None
