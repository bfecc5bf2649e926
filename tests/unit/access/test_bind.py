"""A grant says what is left to ask, and its key holds what was read of the caller: no more and no less."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from ramet.access.bind import MAX_REMEMBERED, compile_rule
from ramet.declare.expressions import CallerValue, FieldOf, OneOf, Rule
from ramet.declare.rules import everyone, exists, me, nobody, outer, owner_only, role, signed_in, that, this
from tests.unit.access.world import Person

ADA = Person("u1")
BOB = Person("u2")
HR = Person("u3", frozenset({"hr"}))
ADMIN = Person("u4", frozenset({"admin"}))
OTHER_ADMIN = Person("u5", frozenset({"admin", "hr"}))
NOBODY = Person(None)

OWN_OR_ADMIN = (this.owner == me.id) | role("admin")


def test_a_rule_that_reads_nothing_of_the_caller_has_one_grant_for_everybody() -> None:
    plan = compile_rule(this.public == True, "Item")  # noqa: E712  # the long form
    grants = [plan.bind(person) for person in (ADA, BOB, ADMIN, NOBODY)]
    assert len({grant.key for grant in grants}) == len(plan.variants) == 1
    assert grants[0].values == grants[0].parameters == {}
    assert not grants[0].variant.always
    assert compile_rule(everyone, "Item").bind(ADA).variant.always


def test_owner_only_differs_by_user_and_all_admins_share() -> None:
    plan = compile_rule(owner_only(also=role("admin")).read, "Item")
    ada, bob, admin, other, anonymous = (plan.bind(who) for who in (ADA, BOB, ADMIN, OTHER_ADMIN, NOBODY))
    assert ada.variant is bob.variant
    assert ada.key != bob.key
    assert ada.values == {"id": "u1"}
    assert ada.parameters == {"me_id": "u1"}
    assert ada.variant.attributes == ("id",)
    assert admin.key == other.key
    assert admin.variant.always
    assert admin.values == {}
    assert anonymous.variant.never
    assert [variant.identifier for variant in plan.variants] == [0, 1, 2]


def test_update_of_owner_only_is_as_simple_as_its_read() -> None:
    access = owner_only(also=role("admin"))
    read, update = compile_rule(access.read, "Item"), compile_rule(access.update, "Item")
    for person in (ADA, ADMIN, NOBODY):
        assert read.bind(person).variant.rule == update.bind(person).variant.rule
        assert read.bind(person).key == update.bind(person).key


def test_roles_that_the_rule_does_not_ask_for_make_no_difference() -> None:
    plan = compile_rule(OWN_OR_ADMIN, "Item")
    assert plan.bind(Person("u1", frozenset({"x"}))).key == plan.bind(ADA).key
    assert plan.bind(Person(None, frozenset({"x"}))).key == plan.bind(NOBODY).key


def test_roles_as_values_are_read_in_order_and_in_few_variants() -> None:
    plan = compile_rule(this.audience.in_(me.roles), "Item")
    three = plan.bind(Person("u1", frozenset({"c", "a", "b"})))
    assert three.variant.attributes == ("role_0", "role_1", "role_2", "role_3")
    assert list(three.values.values()) == ["a", "b", "c", "c"]
    assert three.key == plan.bind(Person("u2", frozenset({"b", "c", "a"}))).key
    assert three.variant is plan.bind(Person("u2", frozenset("wxyz"))).variant
    assert three.variant.rule == OneOf(FieldOf("this", "audience"), tuple(map(CallerValue, three.variant.attributes)))
    assert plan.bind(ADA).variant.never

    both = compile_rule((this.owner == me.id) | this.audience.in_(me.roles), "Item").bind(HR)
    assert both.values == {"id": "u3", "role_0": "hr"}
    assert both.parameters == {"me_id": "u3", "me_role_0": "hr"}


def test_a_rule_about_certain_ids_reads_only_whether_one_is_meant() -> None:
    plan = compile_rule(me.id.in_(["u1", "root"]) & this.public, "Item")
    assert plan.bind(ADA).variant.rule == (this.public == True)  # noqa: E712  # the long form
    assert plan.bind(BOB).variant.never
    assert plan.bind(BOB).key == plan.bind(HR).key == plan.bind(NOBODY).key
    assert compile_rule(me.id.is_null(), "Item").bind(NOBODY).variant.always
    assert compile_rule(me.id == me.id, "Item").bind(NOBODY).variant.never


def test_residuals_are_flat_and_without_repetition_or_absorbed_parts() -> None:
    def residual(rule: Rule) -> str:
        return repr(compile_rule(rule, "Item").bind(ADA).variant.rule)

    a, b, c = this.a == 1, this.b == 2, this.c == 3
    assert residual(a & (b & (c & a))) == "((this.a == 1) & (this.b == 2) & (this.c == 3))"
    assert residual(a & (a | b)) == residual(a | (a & b)) == residual(a | nobody | a) == "(this.a == 1)"
    assert residual(~(a | ~b)) == "(~(this.a == 1) & (this.b == 2))"
    assert residual(a | everyone) == residual(a | signed_in) == "everyone"
    assert residual(exists("M", that.x == 1, role("admin"))) == "nobody"
    assert residual(~exists("M", that.x == 1, role("admin"))) == "everyone"


def test_what_a_variant_says_of_itself() -> None:
    rule = (this.owner == me.id) & exists("Vault", that.id == this.vault, exists("Member", that.vault == outer.id))
    variant = compile_rule(rule | role("admin"), "Item").bind(ADA).variant
    assert variant.resource == "Item"
    assert variant.owner_bound
    assert variant.needs_exists
    assert variant.reads_resources == {"Vault", "Member"}
    assert variant.reads_fields == {"owner", "vault"}
    for loose in ((this.owner == me.id) | this.public, this.owner != me.id, exists("V", that.owner == me.id)):
        assert not compile_rule(loose, "Item").bind(ADA).variant.owner_bound


@given(st.lists(st.frozensets(st.sampled_from("abcdefgh")), min_size=1))
def test_what_is_remembered_makes_no_difference(role_sets: list[frozenset[str]]) -> None:
    rule = OWN_OR_ADMIN | (role("a", "b") & ~role("c") & this.public) | this.kind.in_(me.roles)
    warm = compile_rule(rule, "Item")
    for roles in role_sets:
        for identity in ("u1", "u2", None):
            person = Person(identity, roles)
            cold = compile_rule(rule, "Item").bind(person)
            for grant in (warm.bind(person), warm.bind(person)):
                assert (grant.key, grant.values, grant.variant.rule) == (cold.key, cold.values, cold.variant.rule)


def test_memory_is_bounded_whatever_roles_callers_have() -> None:
    plan = compile_rule(OWN_OR_ADMIN, "Item")
    for place in range(MAX_REMEMBERED + 10):
        plan.bind(Person("u1", frozenset({f"role {place}"})))
    assert len(plan.variants) == 1
    assert plan.remembered <= MAX_REMEMBERED


def test_keys_are_the_same_in_every_process() -> None:
    program = (
        "from ramet.access.bind import compile_rule\n"
        "from ramet.declare.rules import me, role, this\n"
        "class Ada:\n    id = 'u1'\n    roles = frozenset({'x', 'y', 'z'})\n"
        "rule = (this.owner == me.id) | role('admin', 'hr') | this.kind.in_(me.roles) | this.tag.in_(['p', 'q'])\n"
        "print(compile_rule(rule, 'Item').bind(Ada()).key)\n"
    )
    seeds = ("1", "2")
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in seeds
    }
    assert len(printed) == 1
