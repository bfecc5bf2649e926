"""What a team writes becomes the rule it reads as, and a slip is refused with a sentence that mends it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from ramet.declare.expressions import (
    AllOf,
    AnyOf,
    CallerValue,
    Comparison,
    Constant,
    Exists,
    FieldOf,
    Fixed,
    HasRole,
    IsNull,
    Not,
    OneOf,
    OneOfRoles,
)
from ramet.declare.rules import (
    Access,
    everyone,
    exists,
    me,
    nobody,
    outer,
    owner_only,
    public_read,
    read_only,
    role,
    roles_only,
    signed_in,
    that,
    this,
)
from ramet.errors import DeclarationError

OWNER = Comparison("==", FieldOf("this", "owner"), CallerValue("id"))


class Vault:
    """Stands for a resource class: only its name is read."""


class Colour(enum.Enum):
    RED = "red"


def test_comparisons_are_data() -> None:
    n = FieldOf("this", "n")
    assert (this.owner == me.id) == OWNER
    assert (me.id == this.owner) == OWNER
    assert (this.n < 5) == Comparison("<", n, Constant(5))
    assert (this.n <= 5) == Comparison("<=", n, Constant(5))
    assert (this.n != 5) == Not(Comparison("==", n, Constant(5)))
    assert (this.n == None) == this.n.is_null() == IsNull(n)  # noqa: E711  # what a newcomer writes
    assert (this.n != None) == Not(IsNull(n))  # noqa: E711  # what a newcomer writes
    assert (this.colour == Colour.RED) == (this.colour == "red")


def test_a_value_on_the_left_turns_the_comparison_round() -> None:
    assert (5 < this.n) == (this.n > 5)  # noqa: SIM300  # this is the point
    assert (5 >= this.n) == (this.n <= 5)  # noqa: SIM300  # this is the point
    assert (5 == this.n) == (this.n == 5)  # type: ignore[comparison-overlap]  # noqa: SIM300  # this is the point


def test_lists_lose_repetitions_and_an_empty_one_is_never_met() -> None:
    assert this.kind.in_(["a", "b", "a"]) == OneOf(FieldOf("this", "kind"), (Constant("a"), Constant("b")))
    assert this.kind.in_(["a"]) == (this.kind == "a")
    assert this.kind.in_([]) == nobody
    assert this.kind.in_([me.id, "b"]) == (this.kind == me.id) | (this.kind == "b")
    assert this.audience.in_(me.roles) == OneOfRoles(FieldOf("this", "audience"))


def test_rules_join_and_negate() -> None:
    a, b = this.a == 1, this.b == 2
    assert (a & b) == AllOf((a, b))
    assert (a | b) == AnyOf((a, b))
    assert ~a == Not(a)
    assert (this.public & ~this.hidden) == (this.public == True) & ~(this.hidden == True)  # noqa: E712  # the long form
    assert signed_in == Not(IsNull(CallerValue("id")))
    assert (everyone, nobody) == (Fixed(True), Fixed(False))
    assert role("hr", "admin", "hr") == HasRole(("admin", "hr"))


def test_moments_are_kept_in_utc_so_that_equal_rules_look_equal() -> None:
    rule = this.at < datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert repr(rule) == repr(this.at < datetime(2026, 1, 1, tzinfo=UTC))


def test_exists_takes_a_class_or_a_name_and_joins_its_conditions() -> None:
    vault, user = that.vault == this.id, that.user == me.id
    assert exists(Vault, vault) == Exists("Vault", vault)
    assert exists("Member", vault, user) == Exists("Member", AllOf((vault, user)))


def test_a_rule_reads_as_it_was_written() -> None:
    rule = (this.owner == me.id) | role("admin") & ~exists("Member", that.vault == this.vault, that.n.in_([1, 2]))
    assert repr(rule) == (
        "((this.owner == me.id) | (role('admin') & ~exists('Member', "
        "((that.vault == this.vault) & that.n.in_([1, 2])))))"
    )


@pytest.mark.parametrize(
    ("slip", "mend"),
    [
        (lambda: (this.a == 1) and (this.b == 2), "& | ~"),
        (lambda: (this.a == 1) or (this.b == 2), "& | ~"),
        (lambda: not (this.a == 1), "& | ~"),  # noqa: SIM201  # what a team might write
        (lambda: 1 if this.a == 1 else 2, "& | ~"),
        (lambda: not this.public, "& | ~"),
        (lambda: not me.id, "write signed_in"),
        (lambda: 1 < this.a < 5, "chained comparison"),
        (lambda: this.a in [1, 2], "in_"),
        (lambda: "admin" in me.roles, r"write role\('admin'\)"),
        (lambda: this.a == 1 | role("x"), "parentheses"),  # type: ignore[operator]  # mypy sees it too
        (lambda: this.owner == me.id | role("admin"), "parentheses"),
        (lambda: role("admin") | this.owner == me.id, "parentheses"),
        (lambda: this.a == this.b | role("x"), "parentheses"),
        (lambda: Access(read=True), "everyone"),  # type: ignore[arg-type]  # what the message is for
        (lambda: (this.a == 1) & False, "nobody"),  # type: ignore[operator]  # what the message is for
        (lambda: Access(read="owner"), "not a rule"),  # type: ignore[arg-type]  # what the message is for
        (lambda: this.a < None, "is_null"),  # type: ignore[operator]  # what the message is for
        (lambda: this.a.in_([None]), "is_null"),  # type: ignore[list-item]  # what the message is for
        (lambda: this.a.in_("abc"), r"in_\(\['abc'\]\)"),
        (lambda: this.a == [1], "rules compare"),
        (lambda: this.a < float("nan"), "finite"),
        (lambda: this.a < Decimal("inf"), "finite"),
        (lambda: this.a < datetime(2026, 1, 1), "tzinfo"),
        (lambda: this.a < datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "years"),
        (lambda: me.id == 5, "text"),
        (lambda: me.id.in_(me.roles), "role"),
        (lambda: getattr(this, "a; b"), "not the name of a field"),
        (lambda: getattr(this, "class"), "not the name of a field"),
        (lambda: role(), "at least one"),
        (lambda: role(""), "at least one"),
        (lambda: exists("Member"), "conditions"),
    ],
)
def test_a_slip_is_refused_with_its_mend(slip: Callable[[], Any], mend: str) -> None:
    with pytest.raises(DeclarationError, match=mend):
        slip()


def test_exists_nests_three_levels_and_no_deeper() -> None:
    two = exists("B", that.x == outer.y, exists("C", that.x == outer.y))
    three = exists("A", that.id == this.x, two)
    assert three != two
    with pytest.raises(DeclarationError, match="3 levels"):
        exists("Z", ~three | (that.day == date(2026, 1, 1)))


def test_private_names_are_no_fields() -> None:
    assert not hasattr(this, "_secret")
    assert not hasattr(me, "email")


def test_what_access_does_not_state_is_for_the_owner() -> None:
    access = Access()
    assert access.read == OWNER
    assert access.create == signed_in
    assert access.update == access.delete == OWNER & OWNER
    assert not access.fields
    assert not access.write_fields
    assert access.action("close") == access.update
    assert access.action("close", on_collection=True) == signed_in


def test_changing_contains_reading() -> None:
    access = Access(read=role("agent"), update=everyone, delete=this.state == "open", actions={"close": signed_in})
    assert access.update == role("agent") & everyone
    assert access.delete == role("agent") & (this.state == "open")
    assert access.action("close") == role("agent") & signed_in
    assert access.action("close", on_collection=True) == signed_in


def test_who_may_not_see_a_field_may_not_write_it_unless_that_is_stated() -> None:
    access = Access(
        fields={"salary": role("hr"), "note": this.public},
        write_fields={"note": role("admin"), "grade": nobody},
    )
    assert access.fields == {"salary": role("hr"), "note": this.public == True}  # noqa: E712  # the long form
    assert access.write_fields == {"salary": role("hr"), "note": role("admin"), "grade": nobody}


def test_ready_forms() -> None:
    shared = owner_only(also=role("admin"), fields={"a": nobody})
    assert shared.read == OWNER | role("admin")
    assert shared.create == signed_in
    assert shared.delete == shared.read & (OWNER | role("admin"))
    assert shared.fields == {"a": nobody}

    public = public_read()
    assert (public.read, public.create, public.update) == (everyone, signed_in, everyone & OWNER)
    agents = public_read(write=role("agent"))
    assert (agents.create, agents.delete) == (role("agent"), everyone & role("agent"))

    desk = roles_only("agent", "admin")
    assert desk.read == desk.create == role("admin", "agent")

    fixed = read_only(signed_in)
    assert (fixed.read, fixed.create, fixed.update) == (signed_in, nobody, signed_in & nobody)
