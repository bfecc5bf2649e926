"""Instances that would show a record differently do not read each other's answers."""

from __future__ import annotations

import pytest

from ramet import Access, Resource, everyone, role
from ramet.declare.catalog import Catalog
from ramet.operations.sharing import declaration


class Wage(Resource):
    title: str
    salary: int = 0
    bonus: int = 0

    access = Access(read=everyone, fields={"salary": role("hr")})
    cache = 300


def declared() -> str:
    return declaration(Catalog([Wage]))


def test_it_is_the_same_for_the_same_declaration() -> None:
    assert declared() == declared()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("access", Access(read=everyone, fields={"bonus": role("hr")})),
        ("access", Access(read=everyone, fields={"salary": role("hr"), "bonus": role("hr")})),
        ("access", Access(read=everyone, fields={"salary": role("chief")})),
        ("sort", "title"),
        ("search", ("title",)),
        ("cache", 30),
    ],
)
def test_it_differs_where_an_answer_would(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a rule that has moved from one field to another: a caller's key is the same then."""
    before = declared()
    monkeypatch.setattr(Wage, name, value)
    assert declared() != before
