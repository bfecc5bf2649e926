"""The resources of the state machine, and what must be stored and shown of them, by plain rules."""

from __future__ import annotations

from typing import Annotated, Any

from ramet import Context, Range, Ref, Resource, Unique, action, owner_only, role
from tests.scenarios.core_world import Person, person

PEOPLE = (person(1), person(2), person(3, "admin"))
NOBODY = "00000000-0000-7000-8000-000000000000"


class Team(Resource):
    """What items refer to in every way."""

    name: Annotated[str, Unique]
    access = owner_only(also=role("admin"))
    cache = 300


class Item(Resource):
    """Has a nullable number to sort by, and a reference for each thing a deletion can do."""

    title: str
    n: Annotated[int, Range(-5, 5)] | None = None
    code: Annotated[str, Unique] | None = None
    team: Annotated[str, Ref(Team, on_delete="restrict")] | None = None
    main: Annotated[str, Ref(Team, on_delete="cascade")] | None = None
    side: Annotated[str, Ref(Team, on_delete="null")] | None = None
    access = owner_only(also=role("admin"))
    cache = 300

    @action
    async def bump(self, ctx: Context, by: int) -> Item:
        self.n = min(5, (self.n or 0) + by)
        return self


REFERENCES = ("team", "main", "side")
DEFAULTS: dict[str, Any] = {"n": None, "code": None, "team": None, "main": None, "side": None}
Record = dict[str, Any]


class Model:
    """What must be stored, by plain rules."""

    def __init__(self) -> None:
        self.teams: dict[str, Record] = {}
        self.items: dict[str, Record] = {}

    def table(self, path: str) -> dict[str, Record]:
        return self.teams if path == "/teams" else self.items

    def sees(self, caller: Person, record: Record | None) -> bool:
        return (
            record is not None and caller.id is not None and ("admin" in caller.roles or record["owner"] == caller.id)
        )

    def visible(self, path: str, caller: Person) -> list[Record]:
        return [record for record in self.table(path).values() if self.sees(caller, record)]

    def taken(self, path: str, fields: Record, but: str = "") -> bool:
        key = "name" if path == "/teams" else "code"
        value = fields.get(key)
        return value is not None and any(r[key] == value for r in self.table(path).values() if r["id"] != but)

    def refers_wrongly(self, caller: Person, fields: Record, old: Record | None = None) -> bool:
        for name in REFERENCES:
            target = fields.get(name)
            if target is None or self.sees(caller, self.teams.get(target)):
                continue
            if old is None or not self.sees(caller, old) or old[name] != target:
                return True
        return False

    def create(self, path: str, caller: Person, fields: Record) -> int:
        if caller.id is None:
            return 401
        if self.refers_wrongly(caller, fields):
            return 422
        return 409 if self.taken(path, fields) else 201

    def update(self, path: str, caller: Person, record_id: str, fields: Record, match: int | None) -> int:
        old = self.table(path).get(record_id)
        if caller.id is None:
            return 401
        if self.refers_wrongly(caller, fields, old):
            return 422
        if old is None or not self.sees(caller, old):
            return 404
        if match is not None and match != old["version"]:
            return 412
        if self.taken(path, fields, record_id):
            return 409
        old.update(fields)
        old["version"] += 1
        return 200

    def delete(self, path: str, caller: Person, record_id: str, match: int | None) -> int:
        old = self.table(path).get(record_id)
        if caller.id is None:
            return 401
        if old is None or not self.sees(caller, old):
            return 404
        if match is not None and match != old["version"]:
            return 412
        if path == "/teams":
            going = {item["id"] for item in self.items.values() if item["main"] == record_id}
            if any(item["team"] == record_id and item["id"] not in going for item in self.items.values()):
                return 409
            for item_id in going:
                del self.items[item_id]
            for item in self.items.values():
                if item["side"] == record_id:
                    item["side"] = None
                    item["version"] += 1
        del self.table(path)[record_id]
        return 204


def filter_of(wanted: str, value: int) -> tuple[Any, str]:
    return {
        "": (lambda r: True, ""),
        "n[gt]": (lambda r: r["n"] is not None and r["n"] > value, str(value)),
        "n[is]": (lambda r: r["n"] is None, "null"),
        "n[not]": (lambda r: r["n"] != value, str(value)),
        "n[in]": (lambda r: r["n"] in (value, value + 1), f"{value},{value + 1}"),
        "team[is]": (lambda r: r["team"] is not None, "not_null"),
        "title[contains]": (lambda r: "ä" in r["title"].casefold(), "Ä"),
    }[wanted]


def in_order(records: list[Record], sort: str) -> list[Record]:
    """Stable sorts, least important key first; null is below every value, and ids break ties."""
    keys = sort.split(",")
    if keys[-1].removeprefix("-") != "id":
        keys.append("-id" if keys[-1].startswith("-") else "id")
    found = list(records)
    for key in reversed(keys):
        name = key.removeprefix("-")
        found.sort(key=lambda r: (r[name] is not None, "" if r[name] is None else r[name]), reverse=key.startswith("-"))
    return found
