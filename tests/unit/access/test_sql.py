"""The SQL of a rule is exact for every type and operator, and leaves indexes usable."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from ramet.access.bind import Grant, compile_rule
from ramet.access.python import to_python
from ramet.access.sql import to_sql
from ramet.declare.expressions import Rule
from ramet.declare.rules import exists, me, nobody, outer, role, signed_in, that, this
from tests.unit.access.world import (
    FAMILY,
    ITEM_FIELDS,
    NEVER_NULL,
    SCHEMA,
    VALUES,
    Database,
    Person,
    columns,
    compare,
    means,
    record,
    sql_text,
)

USER = Person("u1")
ADMIN = Person("u2", frozenset({"admin"}))
SHARED = exists("Member", that.item == this.id, that.user == me.id)
ITEMS = SCHEMA.tables["Item"]


def grant_of(rule: Rule, person: Person = USER) -> Grant:
    return compile_rule(rule, "Item").bind(person)


def text_of(rule: Rule, person: Person = USER) -> str:
    return sql_text(to_sql(grant_of(rule, person).variant, columns))


@pytest.mark.parametrize("field", [name for name in ITEM_FIELDS if name != "id"])
@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_every_comparison_and_its_negation_hold_for_exactly_the_right_values(field: str, operator: str) -> None:
    values = [*VALUES[FAMILY[field]], *([] if field in NEVER_NULL else [None])]
    items = [record("Item", f"i{place}", {field: value}) for place, value in enumerate(values)]
    database = Database({"Item": items})
    rule: Rule = nobody
    for value in VALUES[FAMILY[field]]:
        rule = compare(operator, getattr(this, field), value)
        for asked in (rule, ~rule):
            grant = grant_of(asked)
            expected = {item.id for item in items if means(asked, (item,), USER, {})}
            assert database.allowed(grant) == expected
            assert {item.id for item in items if to_python(grant.variant)(item, grant.values)} == expected
    assert database.allowed(grant_of(rule | ~rule)) == {item.id for item in items}
    assert database.allowed(grant_of(rule & ~rule)) == set()


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_fields_compare_with_fields_and_null_is_never_equal(operator: str) -> None:
    values = [*VALUES["integer"], None]
    pairs = [(number, weight) for number in values for weight in [*VALUES["real"], None]]
    items = [
        record("Item", f"i{place}", {"number": number, "weight": weight})
        for place, (number, weight) in enumerate(pairs)
    ]
    rule = compare(operator, this.number, this.weight)
    for asked in (rule, ~rule):
        grant = grant_of(asked)
        expected = {item.id for item in items if means(asked, (item,), USER, {})}
        assert Database({"Item": items}).allowed(grant) == expected
        assert {item.id for item in items if to_python(grant.variant)(item, grant.values)} == expected


def test_this_that_and_outer_name_the_outermost_innermost_and_middle_record() -> None:
    # An item is seen by whoever is a member of an item that has its label.
    rule = exists("Item", that.label == this.label, exists("Member", that.item == outer.id, that.user == me.id))
    items = [
        record("Item", "i0", {"label": "a"}),
        record("Item", "i1", {"label": "a"}),
        record("Item", "i2", {"label": "b"}),
        record("Item", "i3", {"label": None}),
    ]
    members = [
        record("Member", "m0", {"item": "i1", "user": "u1"}),
        record("Member", "m1", {"item": "i3", "user": "u1"}),
    ]
    database = Database({"Item": items, "Member": members})
    assert database.allowed(grant_of(rule)) == {"i0", "i1"}
    assert database.allowed(grant_of(~rule)) == {"i2", "i3"}
    assert database.allowed(grant_of(rule, ADMIN)) == set()

    # The record of the rule stays `this`, however deep.
    deep = exists("Item", that.id != this.id, exists("Member", that.item == this.id, that.user != outer.label))
    assert database.allowed(grant_of(deep)) == {"i1", "i3"}


def test_positive_conditions_are_bare_so_that_indexes_serve_them() -> None:
    assert text_of(this.owner == me.id) == "items.owner = :me_id"
    assert text_of((this.owner == me.id) & (this.size < 3)) == "items.owner = :me_id AND items.size < :param_1"
    # Negation moves inward, and a field that is never null needs no care.
    assert text_of(~((this.size < 3) | (this.kind == "a"))) == "items.size >= :param_1 AND items.kind != :param_2"
    assert text_of(~(this.number < 3)) == "items.number >= :param_1 OR items.number IS NULL"
    assert text_of(~~(this.number < 3)) == "items.number < :param_1"
    assert text_of(this.kind.in_(["a", "b"])) == "items.kind IN (:param_1, :param_2)"


def test_roles_and_constants_do_not_reach_the_database() -> None:
    rule = (this.owner == me.id) | role("admin") | exists("Member", that.user == me.id, role("hr"))
    assert text_of(rule) == "items.owner = :me_id"
    assert grant_of(rule, ADMIN).variant.always
    assert grant_of(rule & nobody).variant.never
    assert grant_of(rule & signed_in, Person(None)).variant.never


@pytest.mark.parametrize(
    "rule",
    [
        this.owner == me.id,
        (this.owner == me.id) & (this.kind != "a"),
        (this.owner == me.id) & ~(this.number == 1) & signed_in,
    ],
)
def test_a_list_of_ones_own_is_read_from_the_index_in_order(rule: Rule) -> None:
    grant = grant_of(rule)
    assert grant.variant.owner_bound
    page = select(ITEMS).where(to_sql(grant.variant, columns)).order_by(ITEMS.c.created_at.desc(), ITEMS.c.id.desc())
    [step] = Database({}).plan(page.limit(20), grant.parameters)
    assert re.fullmatch(r"SEARCH items USING INDEX ix_items_owner_\w+ \(owner=\?\)", step)


@pytest.mark.parametrize(
    ("rule", "searched"),
    [
        (
            this.public | (this.owner == me.id),
            [r"items USING INDEX \w+ \(public=\?\)", r"items USING INDEX \w+ \(owner=\?\)"],
        ),
        (~(this.size < 3), [r"items USING INDEX \w+ \(size>\?\)"]),
        (SHARED, [r"members\w* .*\(user=\? AND item=\?\)"]),
        (~SHARED, [r"members\w* .*\(user=\? AND item=\?\)"]),
    ],
)
def test_indexes_serve_disjunctions_negated_orders_and_exists(rule: Rule, searched: list[str]) -> None:
    grant = grant_of(rule)
    plan = "\n".join(Database({}).plan(select(ITEMS).where(to_sql(grant.variant, columns)), grant.parameters))
    for part in searched:
        assert re.search(f"SEARCH {part}", plan)


def test_a_list_of_what_is_shared_starts_from_the_shares() -> None:
    for rule in (SHARED, (this.owner == me.id) | SHARED, SHARED & (this.kind != "a")):
        grant = grant_of(rule)
        steps = Database({}).plan(select(ITEMS).where(to_sql(grant.variant, columns, listing=True)), grant.parameters)
        assert not [step for step in steps if step.startswith("SCAN")]
        assert any(re.search(r"SEARCH items USING INDEX \w+ \(id=\?\)", step) for step in steps)
        assert any(re.search(r"SEARCH members\w* .*\(user=\?\)", step) for step in steps)


def test_only_an_exists_that_is_free_but_for_one_equality_becomes_a_set() -> None:
    def listed(rule: Rule) -> str:
        return sql_text(to_sql(grant_of(rule).variant, columns, listing=True))

    member = that.user == me.id
    assert listed(exists("Member", that.item == this.id, member)) == (
        "items.id IN (SELECT members_1.item \nFROM members AS members_1 \nWHERE members_1.user = :me_id)"
    )
    tied_twice = (that.item == this.id) & (that.label == this.label)
    for rule in (exists("Member", member), exists("Member", tied_twice), ~exists("Member", that.item == this.id)):
        assert " IN " not in listed(rule)
    chain = exists("Item", that.label == this.label, exists("Member", that.item == outer.id, member))
    assert listed(chain).count(" IN ") == 2
    looking_out = exists(
        "Item", that.label == this.label, exists("Member", that.item == outer.id, that.label == this.label)
    )
    assert listed(looking_out).count(" IN ") == 0


def test_a_rule_with_exists_is_not_for_python() -> None:
    variant = grant_of(exists("Member", that.user == me.id)).variant
    assert variant.needs_exists
    with pytest.raises(ValueError, match="Member"):
        to_python(variant)


def test_null_owners_belong_to_nobody() -> None:
    items: list[Any] = [record("Item", "i0", {"owner": None}), record("Item", "i1", {"owner": "u1"})]
    database = Database({"Item": items})
    for person, own in ((Person(None), set[str]()), (USER, {"i1"}), (ADMIN, set[str]())):
        grant = grant_of(this.owner == me.id, person)
        assert database.allowed(grant) == own
        assert database.allowed(grant_of(this.owner != me.id, person)) == {"i0", "i1"} - own
        allows = to_python(grant.variant)
        assert {item.id for item in items if allows(item, grant.values)} == own
