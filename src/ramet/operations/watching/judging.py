"""Judging a change for a view, asking the database where a rule looks into other records."""

from __future__ import annotations

from typing import Any

import msgspec

from ramet.access.bind import Grant
from ramet.access.python import Predicate, to_python
from ramet.changes.change import Change
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.watching.logged import Logged, LoggedShape
from ramet.operations.watching.view import View

UNREADABLE = (msgspec.DecodeError, KeyError)


class Verdict(msgspec.Struct, gc=False):
    """What a change is for a view (see `View.judge`), and the fields that the record then does not show."""

    kind: str
    hidden: frozenset[str]


class Told(msgspec.Struct):
    """One change with its record, and that from before it where the log has it."""

    change: Change
    now: Logged
    before: Logged | None
    answers: dict[Any, bool] = msgspec.field(default_factory=dict)


class Judge:
    """Reads logged records and asks rules of them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._shapes = {info.name: LoggedShape(info, core.reads[info.name].codec) for info in core.catalog}
        self._predicates: dict[Any, Predicate] = {}

    def predicate(self, permit: Permit) -> Predicate | None:
        """The permit's rule in Python; None when it holds always, or only the database can tell."""
        variant = permit.variant
        if variant is None or variant.always or variant.needs_exists:
            return None
        found = self._predicates.get(variant)
        if found is None:
            found = self._predicates[variant] = to_python(variant)
        return found

    def told(self, change: Change, before: Change | None) -> Told:
        """Raises one of UNREADABLE when it was logged under another declaration."""
        shape = self._shapes[change.resource]
        earlier = None
        if before is not None and before.record_id == change.record_id and before.resource == change.resource:
            earlier = Logged(before.record or b"", shape)
        return Told(change, Logged(change.record or b"", shape), earlier)

    async def verdict(self, view: View, told: Told) -> Verdict:
        """What `told` is for a view."""
        now, before = told.now, told.before
        if view.asks:
            allowed = await self._ask(view.permit.grant, now, told)
            allowed_before = before is not None and await self._ask(view.permit.grant, before, told)
        else:
            allowed = view.allows(now)
            allowed_before = before is not None and view.allows(before)
        kind = view.judge(told.change, now, before, allowed, allowed_before)
        mask = view.permit.mask
        if kind in ("", "deleted") or not mask.conditional:
            return Verdict(kind, mask.always_hidden)
        answers = {name: await self._ask(mask.conditional[name], now, told) for name in mask.by_query}
        return Verdict(kind, mask.hidden(now.record, answers))

    async def _ask(self, grant: Grant | None, logged: Logged, told: Told) -> bool:
        """Whether the database says that a rule holds for a record with these values, stored or not.

        Asked once for all views in which it is the same question.
        """
        if grant is None:
            return True
        key = (grant.key, logged is told.before)
        known = told.answers.get(key)
        if known is None:
            variant = grant.variant
            reads = self._core.reads[variant.resource]
            statement = reads.admits_plan(
                ("watch", variant.fingerprint), lambda this: self._core.authority.meaning(variant, this)
            )
            rows = await self._core.store.fetch(statement, {**logged.row(), **grant.parameters})
            known = told.answers[key] = bool(rows)
        return known
