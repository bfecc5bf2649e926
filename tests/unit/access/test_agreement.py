"""SQL on a real database, Python and the definition agree on every rule, record and caller."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql

from ramet.access.bind import compile_rule
from ramet.access.python import to_python
from ramet.access.residual import walk
from ramet.access.sql import to_sql
from ramet.declare.expressions import Fixed, HasRole, OneOfRoles, Rule
from tests.unit.access.world import (
    CODECS,
    ITEM_FIELDS,
    SCHEMA,
    Database,
    Person,
    callers,
    columns,
    means,
    rules,
    worlds,
)

ITEMS = SCHEMA.tables["Item"]
World = dict[str, list[Any]]


@settings(max_examples=200)
@given(rules(), worlds(), st.lists(callers, min_size=1, max_size=3))
def test_sql_and_python_agree_with_the_definition(rule: Rule, world: World, people: list[Person]) -> None:
    plan, database = compile_rule(rule, "Item"), Database(world)
    for person in people:
        grant = plan.bind(person)
        expected = {item.id for item in world["Item"] if means(rule, (item,), person, world)}
        assert database.allowed(grant) == expected
        assert database.allowed(grant, listing=True) == expected
        if not grant.variant.needs_exists:
            allows = to_python(grant.variant)
            assert {item.id for item in world["Item"] if allows(item, grant.values)} == expected


@given(rules(), worlds(), callers)
def test_a_residual_means_what_the_rule_means_for_its_caller(rule: Rule, world: World, person: Person) -> None:
    variant = compile_rule(rule, "Item").bind(person).variant
    inside = list(walk(variant.rule))
    assert not [part for part in inside if isinstance(part, HasRole | OneOfRoles)]
    for item in world["Item"]:
        assert means(variant.rule, (item,), person, world) == means(rule, (item,), person, world)
    assert variant.always == (variant.rule == Fixed(True))
    assert variant.never == (variant.rule == Fixed(False))
    if variant.owner_bound:
        assert all(item.owner == person.id for item in world["Item"] if means(rule, (item,), person, world))


@given(rules(), worlds(), st.lists(callers, min_size=2, max_size=4))
def test_callers_share_a_key_exactly_when_the_same_is_read_of_them(
    rule: Rule, world: World, people: list[Person]
) -> None:
    plan = compile_rule(rule, "Item")
    grants = [plan.bind(person) for person in people]
    for person, grant in zip(people, grants, strict=True):
        for other, another in zip(people, grants, strict=True):
            same = (grant.variant, grant.values) == (another.variant, another.values)
            assert (grant.key == another.key) == same
            if same:
                for item in world["Item"]:
                    assert means(rule, (item,), person, world) == means(rule, (item,), other, world)
    # Another process, which met the callers in another order, makes the same keys.
    elsewhere = compile_rule(rule, "Item")
    assert [elsewhere.bind(person).key for person in reversed(people)] == [grant.key for grant in reversed(grants)]


@given(rules(), worlds(), callers)
def test_the_condition_serves_changes_and_records_not_stored(rule: Rule, world: World, person: Person) -> None:
    grant = compile_rule(rule, "Item").bind(person)
    database = Database(world)
    allowed = database.allowed(grant)
    condition = to_sql(grant.variant, columns)
    for item in world["Item"]:
        given_record = to_sql(
            grant.variant, columns, this=lambda field: bindparam(f"new_{field}", type_=ITEMS.c[field].type)
        )
        values = {f"new_{name}": CODECS["Item"].bind(name, getattr(item, name)) for name in ITEM_FIELDS}
        [(outcome,)] = database.run(select(given_record.label("allowed")), {**values, **grant.parameters})
        assert bool(outcome) == (item.id in allowed)
    changed = database.run(update(ITEMS).where(condition).values(version=7).returning(ITEMS.c.id), grant.parameters)
    assert {row[0] for row in changed} == allowed
    gone = database.run(delete(ITEMS).where(condition).returning(ITEMS.c.id), grant.parameters)
    assert {row[0] for row in gone} == allowed


@given(rules(), callers)
def test_any_rule_can_be_written_for_postgresql(rule: Rule, person: Person) -> None:
    grant = compile_rule(rule, "Item").bind(person)
    compiled = select(ITEMS.c.id).where(to_sql(grant.variant, columns)).compile(dialect=postgresql.dialect())
    assert set(grant.parameters) <= set(compiled.params)
    assert {name for name in compiled.params if name.startswith("me_")} == set(grant.parameters)
