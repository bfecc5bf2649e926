"""What stands in the class of a resource and is no field: what is unknown is refused, the rest may stand there."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, ClassVar, Literal

import pytest

from ramet import App, Context, Index, Length, Resource, action, before, owner_only, roles_only
from ramet.errors import DeclarationError


def refusal(**namespace: Any) -> str:
    """Why a resource with these attributes beside a field `title` is refused."""
    annotations = {"title": str, **namespace.pop("annotations", {})}
    body = {"__module__": __name__, "__annotations__": annotations, **namespace}
    with pytest.raises(DeclarationError) as refused:
        App(resources=[type(Resource)("Thing", (Resource,), body)])
    message = str(refused.value)
    assert message.startswith("test_attributes.py: Thing"), message
    return message


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("acces", roles_only("hr"), "Write `access = ...`"),
        ("index", [Index("title")], "Did you mean 'indexes'?"),
        ("serach", ("title",), "Did you mean 'search'?"),
        ("operation", ("list",), "Did you mean 'operations'?"),
        ("a", 5, "Write `a: int = ...` for a field"),
    ],
)
def test_an_unknown_class_variable_is_refused(name: str, value: Any, meant: str) -> None:
    message = refusal(**{name: value})
    assert f"Thing.{name}:" in message
    assert meant in message


def test_access_rules_under_another_name_are_refused_with_a_type_too() -> None:
    assert "Thing.acces:" in refusal(acces=owner_only(), annotations={"acces": ClassVar[Any]})


def test_an_unknown_class_variable_of_a_base_is_refused() -> None:
    class Base(Resource):
        acces = owner_only()

    class Thing(Base):
        title: str

    with pytest.raises(DeclarationError, match=r"^test_attributes\.py: Base\.acces: "):
        App(resources=[Thing])


def test_a_field_that_is_called_like_a_class_variable_is_refused() -> None:
    assert "give the field another name" in refusal(annotations={"search": str})


def test_a_method_that_is_called_like_a_field_of_every_record_is_refused() -> None:
    assert "Thing.owner: is a field that every record has" in refusal(owner=property(lambda self: ""))


@pytest.mark.parametrize("wrap", [classmethod, staticmethod])
def test_marks_in_the_wrong_order_are_refused(wrap: Any) -> None:
    async def act(cls: Any, ctx: Context) -> None: ...

    message = refusal(act=wrap(action(act)))
    assert "Thing.act:" in message
    assert ("write @action above @classmethod" if wrap is classmethod else "take @staticmethod out") in message


def test_what_may_stand_beside_fields() -> None:
    class Thing(Resource):
        class Inner:
            pass

        Colour = Enum("Colour", ["RED"])
        Word = Annotated[str, Length(1, 5)]
        Kind = Literal["a", "b"]
        retries: ClassVar[int] = 3
        _own = 4
        title: str
        access = owner_only()

        @property
        def shown(self) -> str:
            return self.title

        @classmethod
        def make(cls) -> str:
            return "made"

        @staticmethod
        def count() -> int:
            return 1

        def plain(self) -> None: ...

        @before("create")
        async def hook(self, ctx: Context) -> None: ...

        @action
        @classmethod
        async def act(cls, ctx: Context) -> None: ...

    info = App(resources=[Thing]).catalog.by_name["Thing"]
    assert "title" in info.fields
    assert not {"retries", "Word", "Kind", "_own"} & set(info.fields)
