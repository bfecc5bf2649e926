"""What those subscribers see that ask for the same with the same rights: each event is judged and encoded once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from ramet.access.bind import Variant
from ramet.access.concern import may_concern
from ramet.access.python import Predicate
from ramet.changes.change import Change
from ramet.declare.catalog import ResourceInfo
from ramet.operations.authority import Permit
from ramet.operations.watching.filters import Filters
from ramet.operations.watching.logged import Logged

REMEMBERED = 1_000
"""Records known to be outside a view, so that their further changes are not told as deletions."""
_NOWHERE: frozenset[str] = frozenset()
_encode = msgspec.json.Encoder().encode


class Event(msgspec.Struct, gc=False):
    """One thing told: `body` is its JSON. `frame` is for an interface to keep what it made of it."""

    seq: int
    mark: str
    kind: str
    body: bytes
    xid: int = 0
    frame: bytes = b""


class View:
    """One resource, or one of its records (`record_id`), through one permit, some filters and a choice of fields.

    `subscribers` are told by the hub; `slot` is under what the hub finds the view.
    """

    __slots__ = (
        "_out",
        "_predicate",
        "_values",
        "fields",
        "filters",
        "info",
        "key",
        "looks_into",
        "permit",
        "record_id",
        "slot",
        "subscribers",
    )

    def __init__(
        self,
        info: ResourceInfo,
        permit: Permit,
        filters: Filters,
        fields: tuple[str, ...] | None,
        record_id: str,
        predicate: Predicate | None,
        key: Hashable,
    ) -> None:
        self.info = info
        self.permit = permit
        self.filters = filters
        self.fields = fields
        self.record_id = record_id
        self.key = key
        self.subscribers: dict[Any, None] = {}
        looked = {name for variant in self._variants() for name in variant.reads_resources}
        self.looks_into = frozenset(looked) if looked else _NOWHERE
        self.slot = self._slot()
        self._predicate = predicate
        self._values = {} if permit.grant is None else permit.grant.values
        self._out: dict[str, None] = {}

    @property
    def asks(self) -> bool:
        """Whether only the database can say which records it holds."""
        return self.permit.variant is not None and self.permit.variant.needs_exists

    def copy(self) -> View:
        """The same view without anything that it remembers."""
        return View(self.info, self.permit, self.filters, self.fields, self.record_id, self._predicate, self.key)

    def forget(self) -> None:
        """Changes were missed: nothing is known of records any more."""
        self._out.clear()

    def allows(self, logged: Logged) -> bool:
        """Whether the rule holds for a record, where that needs no database."""
        return self._predicate is None or self._predicate(logged.record, self._values)

    def concerned(self, resource: str, logged: Logged) -> bool:
        """Whether a record of another resource may be one that the rules look for."""
        mask = self.permit.mask
        grants = [self.permit.grant, *(mask.conditional[field] for field in mask.by_query)]
        return any(
            grant is not None and may_concern(grant.variant.rule, resource, logged.record, grant.values)
            for grant in grants
        )

    def judge(self, change: Change, now: Logged, before: Logged | None, allowed: bool, allowed_before: bool) -> str:
        """What a change is for this view: created, updated, deleted, or "" for nothing.

        `allowed` and `allowed_before` say whether the rule holds for the record as it is `now` and was `before`; that
        is only known where the rule may have changed its answer.
        """
        known_out = change.record_id in self._out
        admitted = allowed and self.filters.admit(now)
        if change.kind == "deleted":
            self._out.pop(change.record_id, None)
            return "deleted" if admitted else ""
        was = before is not None and allowed_before and self.filters.admit(before)
        if admitted:
            self._out.pop(change.record_id, None)
            entered = change.kind == "created" or known_out or (before is not None and not was)
            return "created" if entered else "updated"
        if self.filters:
            self._remember(change.record_id)
        if change.kind == "created":
            return ""
        left = was if before is not None else allowed and not known_out
        return "deleted" if left else ""

    def event(self, change: Change, kind: str, mark: str, now: Logged, hidden: frozenset[str]) -> Event:
        """The event, as it is sent. Of a deleted record nothing but the id is told."""
        record = b""
        if kind != "deleted":
            omitted = self.permit.guard.omitted
            record = b',"record":' + now.shown(self.fields, omitted, hidden - omitted)
        head = {"id": mark, "kind": kind, "resource": self.info.path, "record_id": change.record_id}
        return Event(change.seq, mark, kind, _encode(head)[:-1] + record + b"}", change.xid)

    def _variants(self) -> list[Variant]:
        own = self.permit.variant
        masked = [grant.variant for grant in self.permit.mask.conditional.values()]
        return masked if own is None else [own, *masked]

    def _slot(self) -> tuple[str, str, str]:
        variant = self.permit.variant
        if self.record_id:
            return (self.info.name, "record", self.record_id)
        if variant is not None and variant.owner_bound and self.permit.grant is not None:
            return (self.info.name, "owner", str(self.permit.grant.values["id"]))
        return (self.info.name, "", "")

    def _remember(self, record_id: str) -> None:
        self._out[record_id] = None
        if len(self._out) > REMEMBERED:
            del self._out[next(iter(self._out))]
