"""What would end in an error of Python is told in a sentence that names file, class and field."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest

from ramet import Access, App, Hidden, Index, Json, Length, Pattern, Range, Resource, exists, me, role, roles_only
from ramet.errors import DeclarationError


def of(annotation: Any = str, **more: Any) -> type[Resource]:
    body = {"__module__": __name__, "__annotations__": {"wrong": annotation}, **more}
    return type(Resource)("Thing", (Resource,), body)


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("access", None, "write owner_only()"),
        ("access", True, "write owner_only()"),
        ("access", "public", "write owner_only()"),
        ("cache", "5", "number of seconds"),
        ("cache", True, "number of seconds"),
        ("cache", float("nan"), "number of seconds"),
        ("cache", float("inf"), "number of seconds"),
        ("indexes", Index("wrong"), "as [Index('title')]"),
        ("indexes", None, "as [Index('title')]"),
        ("indexes", [Index(5)], "write Index("),  # type: ignore[arg-type]  # that is what is wrong
        ("search", "wrong", "as ['title']"),
        ("search", 5, "as ['title']"),
        ("search", [5], "as ['title']"),
        ("operations", "list", "as ['title']"),
        ("operations", None, "as ['title']"),
        ("sort", None, "give it a text"),
        ("path", 5, "give it a text"),
        ("require_match", "yes", "True or False"),
    ],
)
def test_a_class_variable_of_another_type(name: str, value: Any, mend: str) -> None:
    with pytest.raises(DeclarationError, match=rf"^test_raw_errors\.py: Thing\.{name}: .*{re.escape(mend)}"):
        App(resources=[of(**{name: value})])


@pytest.mark.parametrize("word", [Pattern("["), Range(0, float("nan")), Range(0, object())])  # type: ignore[arg-type]  # that is what is wrong
def test_a_word_that_cannot_be_used(word: Any) -> None:
    with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: Thing\.wrong: "):
        App(resources=[of(Annotated[str if isinstance(word, Pattern) else int, word])])


def test_a_type_that_raises_when_it_is_looked_at() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]  # that is what is wrong

    with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: Thing\.wrong: "):
        App(resources=[of(Annotated[str, Odd(), Odd()])])


def test_an_annotation_that_cannot_be_evaluated() -> None:
    with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: Thing\.wrong: has a type that cannot be read"):
        App(resources=[of("Annotated[str, Length(1, 2, 3)]")])


def test_a_class_that_raises_when_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cls: Any) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("ramet.declare.catalog.read_actions", fail)
    with pytest.raises(
        DeclarationError, match=r"^users\.py: User: cannot be read \(RuntimeError: nobody thought of this\)"
    ):
        App(resources=[of()])


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_a_default_that_records_would_share(value: Any) -> None:
    with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: Thing\.wrong: .*default_factory=lambda"):
        of(Json, wrong=value)


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (lambda: role(""), "name at least one role"),
        (lambda: role(5), "name at least one role"),  # type: ignore[arg-type]  # that is what is wrong
        (lambda: roles_only(), "name at least one role"),
        (lambda: me.nope, "write me.id, me.roles or role('nope')"),
        (lambda: Access(read=True), "write everyone"),  # type: ignore[arg-type]  # that is what is wrong
        (lambda: Access(fields=["a"]), "are no rules by name"),  # type: ignore[arg-type]  # that is what is wrong
        (lambda: exists(5, me.id == "a"), "names no resource"),  # type: ignore[arg-type]  # that is what is wrong
    ],
)
def test_a_wrong_rule_names_its_place(make: Any, mend: str) -> None:
    with pytest.raises(DeclarationError, match=rf"^test_raw_errors\.py: line \d+: .*{re.escape(mend)}"):
        make()


def test_a_wrong_rule_in_a_class_names_class_and_attribute() -> None:
    with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: Thing\.access: role\('',\): name at least one"):

        class Thing(Resource):
            title: str
            access = roles_only("")
            sort = "title"


def test_what_is_unknown_of_a_caller_is_missing_for_python_too() -> None:
    assert not hasattr(me, "nope")


def test_what_is_no_list_of_resources() -> None:
    thing = of()
    given: Any
    for given, mend in ((thing, "write resources=[...]"), ("Thing", "write resources=[...]"), (5, "is no list")):
        with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: line \d+: App\(resources=") as refused:
            App(resources=given)
        assert mend in str(refused.value)


def test_a_record_among_the_resources() -> None:
    record: Any = of()(wrong="x")
    with pytest.raises(DeclarationError, match=r"^test_raw_errors\.py: line \d+: A record of Thing is not a Resource"):
        App(resources=[record])


@pytest.mark.parametrize(
    ("annotation", "name", "mend"),
    [
        (Annotated[str, Hidden], "sort", "it is hidden"),
        (Annotated[str, Length(max=5_000)], "sort", "too long"),
        (Json, "sort", "it holds json"),
        (Annotated[str, Hidden], "search", "it is hidden"),
        (int, "search", "it holds integer"),
    ],
)
def test_why_a_field_cannot_be_sorted_or_searched_by(annotation: Any, name: str, mend: str) -> None:
    value: Any = "wrong" if name == "sort" else ["wrong"]
    default: Any = 1 if annotation is int else "x"
    with pytest.raises(DeclarationError) as refused:
        App(resources=[of(annotation, wrong=default, **{name: value})])
    assert mend in str(refused.value)
    assert "Did you mean" not in str(refused.value)
