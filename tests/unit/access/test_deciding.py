"""Which fields decide who may read: the rule's own, and those that an exists asks of another resource."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ramet.access.bind import compile_rule
from ramet.access.concern import may_concern
from ramet.access.deciding import decides, deciding_fields
from ramet.declare.rules import Access, everyone, exists, me, outer, that, this
from ramet.identity.caller import Caller

MEMBER = exists("Member", that.team == this.team, that.user == me.id)
CALLER = Caller("u1", frozenset(), None, 0.0, 1e18, "bearer")


def test_fields_that_never_change_decide_nothing() -> None:
    assert deciding_fields({"Task": Access((this.owner == me.id) | (this.id == me.id))}) == {"Task": frozenset()}


def test_own_fields_and_those_that_exists_asks() -> None:
    nested = exists("Team", that.id == this.team, exists("Member", that.user == me.id, that.team == outer.name))
    found = deciding_fields(
        {
            "Plan": Access(MEMBER | nested, fields={"budget": exists("Grant", that.plan == this.phase)}),
            "Member": Access(everyone),
            "Team": Access(everyone),
            "Grant": Access(everyone),
        }
    )
    assert found == {
        "Plan": frozenset({"team"}),
        "Member": frozenset({"team", "user"}),
        "Team": frozenset({"name"}),
        "Grant": frozenset({"plan"}),
    }


def test_an_update_decides_by_the_fields_it_changes() -> None:
    assert decides(frozenset({"team"}), ["text", "team"])
    assert not decides(frozenset({"team"}), ["text"])
    assert not decides(frozenset(), ["text"])
    assert decides(frozenset({"version"}), ["text"]), "every update changes the version"


@pytest.mark.parametrize(
    ("condition", "record", "concerned"),
    [
        (that.user == me.id, {"user": "u1"}, True),
        (that.user == me.id, {"user": "u2"}, False),
        (that.user == me.id, {"user": None}, False),
        ((that.user == me.id) & (that.team == this.team), {"user": "u1", "team": "t"}, True),
        ((that.user == me.id) & (that.team == this.team), {"user": "u2", "team": "t"}, False),
        ((that.user == me.id) | (that.team == this.team), {"user": "u2", "team": "t"}, True),
        (~(that.user == me.id), {"user": "u1"}, False),
        (that.user.in_(["u1", "u3"]), {"user": "u3"}, True),
        (that.user.in_(["u1", "u3"]), {"user": "u2"}, False),
        (that.user.in_(["u1", "u3"]), {"user": None}, False),
        (that.user.is_null(), {"user": None}, True),
        (that.user.is_null(), {"user": "u1"}, False),
        (that.secret == me.id, {"user": "u2"}, True),
        (that.level > 3, {"level": 3}, False),
        (that.level > 3, {"level": 4}, True),
    ],
)
def test_a_record_concerns_a_rule_if_it_could_be_what_the_rule_looks_for(
    condition: Any, record: dict[str, Any], concerned: bool
) -> None:
    grant = compile_rule(exists("Member", condition), "Plan").bind(CALLER)
    found = may_concern(grant.variant.rule, "Member", SimpleNamespace(**record), grant.values)
    assert found is concerned
    assert not may_concern(grant.variant.rule, "Team", SimpleNamespace(**record), grant.values)
