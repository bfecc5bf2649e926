"""A field is hidden from whoever its rule refuses: in every record, or in those it refuses."""

from __future__ import annotations

from ramet.access.masking import UNMASKED, MaskPlan
from ramet.access.sql import to_sql
from ramet.declare.rules import Access, everyone, exists, me, nobody, role, that, this
from tests.unit.access.world import Database, Person, columns, record, sql_text

ADA = Person("u1")
BOB = Person("u2")
HR = Person("u3", frozenset({"hr"}))
NOBODY = Person(None)

OWN = record("Item", "i1", {"owner": "u1"})
FOREIGN = record("Item", "i2", {"owner": "u2"})


def test_without_field_rules_nothing_is_hidden_and_everybody_shares() -> None:
    plan = MaskPlan({}, "Item")
    assert plan.bind(ADA) is plan.bind(NOBODY) is UNMASKED
    assert UNMASKED.hidden(OWN) == frozenset()
    assert UNMASKED.key == ()


def test_a_rule_about_the_caller_alone_hides_in_every_record() -> None:
    plan = MaskPlan({"price": role("hr"), "label": everyone, "weight": nobody}, "Item")
    ada, hr = plan.bind(ADA), plan.bind(HR)
    assert ada.always_hidden == ada.closed == ada.hidden(OWN) == {"price", "weight"}
    assert hr.always_hidden == hr.closed == hr.hidden(OWN) == {"weight"}
    assert not ada.conditional
    assert plan.bind(BOB) is ada
    assert plan.bind(NOBODY).key == ada.key != hr.key


def test_a_rule_about_the_record_hides_in_some_and_closes_the_field() -> None:
    plan = MaskPlan({"price": (this.owner == me.id) | role("hr"), "label": role("hr")}, "Item")
    ada = plan.bind(ADA)
    assert ada.always_hidden == {"label"}
    assert set(ada.conditional) == {"price"}
    assert not ada.by_query
    assert ada.closed == {"price", "label"}
    assert ada.hidden(OWN) == {"label"}
    assert ada.hidden(FOREIGN) == {"price", "label"}
    assert plan.bind(BOB).hidden(FOREIGN) == {"label"}
    assert plan.bind(BOB).key != ada.key
    assert plan.bind(HR).closed == frozenset()
    # Nobody owns what nobody signed in for.
    assert plan.bind(NOBODY).always_hidden == {"price", "label"}


def test_what_only_the_database_can_decide_is_hidden_until_it_has() -> None:
    plan = MaskPlan({"price": exists("Member", that.item == this.id, that.user == me.id)}, "Item")
    ada = plan.bind(ADA)
    assert ada.by_query == set(ada.conditional) == ada.closed == {"price"}
    assert ada.hidden(OWN) == {"price"}
    assert ada.hidden(OWN, {"price": True}) == frozenset()
    assert ada.hidden(OWN, {"price": False}) == {"price"}
    grant = ada.conditional["price"]
    assert sql_text(to_sql(grant.variant, columns)).startswith("EXISTS")
    world = {"Item": [OWN, FOREIGN], "Member": [record("Member", "m", {"item": "i2", "user": "u1"})]}
    assert Database(world).allowed(grant) == {"i2"}


def test_write_rules_are_bound_in_the_same_way() -> None:
    access = Access(fields={"price": role("hr")}, write_fields={"label": this.owner == me.id})
    ada = MaskPlan(access.write_fields, "Item").bind(ADA)
    assert ada.always_hidden == {"price"}
    assert ada.hidden(FOREIGN) == {"price", "label"}
