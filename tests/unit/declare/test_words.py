"""Words beside a type that do not fit it, or that allow nothing, are refused at start."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest

from ramet import (
    App,
    Context,
    Digits,
    Email,
    Help,
    Hidden,
    Items,
    Json,
    Length,
    Pattern,
    Range,
    ReadOnly,
    Ref,
    Resource,
    Unique,
    Url,
    WriteOnce,
    before,
)
from ramet.declare.fields.build import build_field
from ramet.declare.types import EmailFormat, JsonFormat
from ramet.errors import DeclarationError


def of(annotation: Any, name: str = "Thing", **more: Any) -> type[Resource]:
    body = {"__module__": __name__, "__annotations__": {"wrong": annotation}, **more}
    return type(Resource)(name, (Resource,), body)


@pytest.mark.parametrize(
    ("annotation", "mend"),
    [
        (Annotated[int, Length(1, 5)], "take Length out"),
        (Annotated[str, Range(1, 5)], "take Range out"),
        (Annotated[str, Items(5)], "take Items out"),
        (Annotated[int, Digits(5, 2)], "take Digits out"),
        (Annotated[int, Ref("Thing")], "take Ref out"),
        (Annotated[bool, Length(1)], "takes no word of this kind"),
        (Annotated[date, Range(1)], "take Range out"),
        (Annotated[Literal["a"], Length(1)], "take Length out"),
        (Annotated[str, JsonFormat()], "take JsonFormat out"),
        (Annotated[list[str], Length(1, 5)], "take Length out"),
        (Annotated[Json, Length(1, 5)], "take Length out"),
        (Annotated[Email, Length(1, 5)], "take Length out"),
        (Annotated[Url, Pattern("x")], "take Pattern out"),
        (Annotated[str, Ref("Thing"), EmailFormat()], "which says all about the text"),
        (Annotated[str, Length(1, 5), Length(2, 9)], "keep one of them"),
        (Annotated[Annotated[str, Length(1, 5)], Length(2, 9)], "keep one of them"),
        (Annotated[str, "help"], "Help('help')"),
        (Annotated[str, 5], "means nothing to Ramet"),
        (Annotated[str, Ref], "needs its brackets"),
        (Annotated[str, Pattern], "needs its brackets"),
        (Annotated[str | None, ReadOnly, WriteOnce], "keep one of them"),
        (Annotated[str, Help(5)], "give Help a text"),  # type: ignore[arg-type]  # that is what is wrong
        (list, "as list[str]"),
        (list[Annotated[str, Unique]], "move Unique"),
        (list[Annotated[str, Hidden]], "move Unique"),
        (list[Annotated[str, Ref("Thing")]], "make records of another resource"),
        (Annotated[Json, Unique], "take Unique out"),
        (Annotated[list[str], Unique], "take Unique out"),
    ],
)
def test_words_that_do_not_fit(annotation: Any, mend: str) -> None:
    with pytest.raises(DeclarationError, match=r"^test_words\.py: Thing\.wrong: ") as refused:
        App(resources=[of(annotation)])
    assert mend in str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "mend"),
    [
        (Annotated[int, Range(5, 3)], "allows no number"),
        (Annotated[int, Range(0, 2**70)], "at most 64 bits"),
        (Annotated[int, Range(0.5, 3)], "whole numbers"),
        (Annotated[int, Range(0, float("nan"))], "finite number"),
        (Annotated[float, Range(0, float("inf"))], "finite number"),
        (Annotated[float, Range(0, "a")], "finite number"),  # type: ignore[arg-type]  # that is what is wrong
        (Annotated[Decimal, Range(5, 3)], "allows no number"),
        (Annotated[Decimal, Range(Decimal("NaN"))], "finite number"),
        (Annotated[Decimal, Digits(5, 2), Range(1_000)], "allows no number of Digits(5, 2)"),
        (Annotated[Decimal, Digits(5, 2), Range(Decimal("0.001"), Decimal("0.009"))], "allows no number of Digits"),
        (Annotated[Decimal, Digits("a", 2)], "whole numbers"),  # type: ignore[arg-type]  # that is what is wrong
        (Annotated[list[str], Items(0)], "from 1 to"),
        (Annotated[list[str], Items("a")], "from 1 to"),  # type: ignore[arg-type]  # that is what is wrong
        (Annotated[str, Length(1, 10**9)], "from 0 to"),
        (Annotated[str, Length(-1, 5)], "from 0 to"),
        (Annotated[str, Length(1, None)], "from 0 to"),  # type: ignore[arg-type]  # that is what is wrong
        (Annotated[Any, JsonFormat(0)], "from 2 to"),
        (Annotated[str, Pattern("[")], "not a regular expression"),
        (Annotated[str, Pattern("(?i)a")], "not a regular expression"),
        (Annotated[str, Pattern(5)], "not a regular expression"),  # type: ignore[arg-type]  # that is what is wrong
    ],
)
def test_bounds_that_are_not_possible(annotation: Any, mend: str) -> None:
    with pytest.raises(DeclarationError, match=r"^test_words\.py: Thing\.wrong: ") as refused:
        App(resources=[of(annotation)])
    assert mend in str(refused.value)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[Email, Unique, Help("x")],
        Annotated[Annotated[str, Unique], Unique],
        Annotated[str, Length],
        Annotated[int, Range(1.0, 5)],
        Annotated[int, Range(-(2**63), 2**63 - 1)],
        Annotated[float, Range(0, 0.5)],
        Annotated[Decimal, Digits(5, 2), Range(0, 10_000)],
        Annotated[Decimal, Range(Decimal("0.005"), Decimal("0.015"))],
        Annotated[list[Annotated[str, Length(1, 5)]], Items(1)],
        Annotated[str, Length(5, 5), Pattern(r"\d{5}")],
        Annotated[Any, JsonFormat(2)],
    ],
)
def test_words_that_fit(annotation: Any) -> None:
    build_field(annotation)


@pytest.mark.parametrize("names", [("One", "Two"), ("One", "Two", "Three")])
def test_a_ring_of_references_that_may_not_be_null_is_refused(names: tuple[str, ...]) -> None:
    following = dict(zip(names, (*names[1:], names[0]), strict=True))
    with pytest.raises(DeclarationError, match=r"^test_words\.py: One\.wrong: ") as refused:
        App(resources=[of(Annotated[str, Ref(target)], name) for name, target in following.items()])
    assert f"{' -> '.join((*names, names[0]))}" in str(refused.value)
    assert "write `str | None`" in str(refused.value)


def test_a_reference_to_its_like_that_may_not_be_null_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"^test_words\.py: Thing\.wrong: .*Thing -> Thing"):
        App(resources=[of(Annotated[str, Ref("Thing")])])


def test_a_ring_that_can_be_opened_and_one_that_a_hook_closes() -> None:
    @before("create")
    async def close(self: Any, ctx: Context) -> None:
        self.wrong = self.id

    App(resources=[of(Annotated[str | None, Ref("Two")], "One"), of(Annotated[str, Ref("One")], "Two")])
    App(resources=[of(Annotated[str, Ref("Thing"), ReadOnly], wrong="", close=close)])
