"""Judging a change for a view, asking the database where a rule looks into other records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ramet.access.bind import Grant
from ramet.access.python import Predicate, to_python
from ramet.changes.change import Change
from ramet.operations.authority import Permit
from ramet.operations.core import Core
from ramet.operations.watching.logged import Logged, LoggedShape
from ramet.operations.watching.questions import Questions
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
        self._questions = Questions(core)
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

    def verdict(self, view: View, told: Told) -> Verdict:
        """What `told` is for a view, for which it has been prepared."""
        now, before = told.now, told.before
        if view.asks:
            allowed = self._known(view.permit.grant, False, told)
            allowed_before = before is not None and self._known(view.permit.grant, True, told)
        else:
            allowed = view.allows(now)
            allowed_before = before is not None and view.allows(before)
        kind = view.judge(told.change, now, before, allowed, allowed_before)
        mask = view.permit.mask
        if kind in ("", "deleted") or not mask.conditional:
            return Verdict(kind, mask.always_hidden)
        answers = {name: self._known(mask.conditional[name], False, told) for name in mask.by_query}
        return Verdict(kind, mask.hidden(now.record, answers))

    async def prepare(self, views: Sequence[View], told: Told) -> None:
        """Asks at once what judging `told` for these views will ask of the database."""
        wanted: dict[tuple[str, bool], dict[Any, Grant]] = {}
        for view in views:
            mask = view.permit.mask
            now = [mask.conditional[name] for name in mask.by_query]
            before: list[Grant] = []
            if view.asks and view.permit.grant is not None:
                now.append(view.permit.grant)
                before.append(view.permit.grant)
            for grants, earlier in ((now, False), (before if told.before is not None else [], True)):
                for grant in grants:
                    wanted.setdefault((grant.variant.fingerprint, earlier), {})[grant.key] = grant
        for (_, earlier), by_key in wanted.items():
            logged = told.before if earlier else told.now
            if logged is not None:
                answers = await self._questions.ask(list(by_key.values()), logged)
                told.answers.update({(key, earlier): one for key, one in zip(by_key, answers, strict=True)})

    def _known(self, grant: Grant | None, earlier: bool, told: Told) -> bool:
        """What the database has said of a rule and the record as it is, or was `earlier`."""
        return grant is None or told.answers[grant.key, earlier]
