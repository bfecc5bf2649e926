"""Every wrong declaration is refused at start with a sentence that names file, class and field and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest

from ramet import (
    App,
    Context,
    Digits,
    Hidden,
    Index,
    Json,
    Length,
    Range,
    ReadOnly,
    Ref,
    Resource,
    action,
    after,
    before,
)
from ramet.declare.checks import LIMITS
from ramet.errors import DeclarationError
from ramet.limits.limiter import ROUTE_CLASSES

FILE = "test_refusals.py"
CASES: list[tuple[Callable[[], list[Any]], str, str]] = []


def wrong(place: str, mend: str) -> Callable[[Callable[[], list[Any]]], Callable[[], list[Any]]]:
    """A declaration that is refused at `place`, in a sentence that contains `mend`."""

    def note(declare: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
        CASES.append((declare, place, mend))
        return declare

    return note


class Colour(Enum):
    RED = "red"


def of(annotation: Any, **more: Any) -> list[Any]:
    """A resource with one field, `wrong`, and class variables."""
    default = more.pop("default", None)
    namespace: dict[str, Any] = {"__module__": __name__, "__annotations__": {"wrong": annotation}, **more}
    if default is not None:
        namespace["wrong"] = default
    return [type(Resource)("Thing", (Resource,), namespace)]


@wrong("Thing.wrong", "use str, int")
def a_type_that_is_not_stored() -> list[Any]:
    return of(complex)


@wrong("Thing.wrong", "use Json")
def a_mixture_of_types() -> list[Any]:
    return of(int | str)


@wrong("Thing.wrong", "texts")
def a_literal_of_numbers() -> list[Any]:
    return of(Literal[1, 2])


@wrong("Thing.wrong", "Literal['red']")
def an_enumeration_class() -> list[Any]:
    return of(Colour)


@wrong("Thing.wrong", "give a least and a greatest length")
def a_length_that_allows_nothing() -> list[Any]:
    return of(Annotated[str, Length(5, 2)])


@wrong("Thing.wrong", "at most 18")
def more_digits_than_there_are() -> list[Any]:
    return of(Annotated[Decimal, Digits(30, 2)])


@wrong("Thing.wrong", "write `| None`")
def a_default_of_none_that_may_not_be_null() -> list[Any]:
    return [
        type(Resource)("Thing", (Resource,), {"__annotations__": {"wrong": str}, "wrong": None, "__module__": __name__})
    ]


@wrong("Thing.wrong", "length <= 3")
def a_default_that_is_too_long() -> list[Any]:
    return of(Annotated[str, Length(max=3)], default="four")


@wrong("Thing.wrong", "Expected `int`")
def a_default_of_another_type() -> list[Any]:
    return of(int, default="x")


@wrong("Thing.wrong", ">= 1")
def a_default_out_of_range() -> list[Any]:
    return of(Annotated[int, Range(1, 5)], default=-3)


@wrong("Thing.wrong", "timezone")
def a_default_without_time_zone() -> list[Any]:
    return of(datetime, default=datetime(2020, 1, 1))  # that is what is wrong


@wrong("Thing.wrong", "enum value")
def a_default_that_is_none_of_the_values() -> list[Any]:
    return of(Literal["a", "b"], default="c")


@wrong("Thing.wrong", "expected Decimal")
def a_decimal_default_that_is_no_decimal() -> list[Any]:
    return of(Decimal, default=1)


@wrong("Thing.wrong", "needs a default")
def a_read_only_field_that_nobody_can_give() -> list[Any]:
    return of(Annotated[str, ReadOnly])


@wrong("Thing.wrong", "needs a default")
def a_hidden_field_that_nobody_can_give() -> list[Any]:
    return of(Annotated[str, Hidden])


@wrong("Thing.wrong", "Add it to App")
def a_reference_to_nothing() -> list[Any]:
    return of(Annotated[str, Ref("Nothing")])


@wrong("Thing.wrong", "str | None")
def a_reference_that_becomes_null_and_may_not() -> list[Any]:
    return of(Annotated[str, Ref("Thing", on_delete="null")])


@wrong("Thing.wrong", "Did you mean 'null'? Write one of restrict, cascade, null")
def a_misspelt_word_for_what_a_deletion_does() -> list[Any]:
    return of(Annotated[str | None, Ref("Thing", on_delete="set_null")])  # type: ignore[arg-type]  # that is what is wrong


@wrong("Thing.wrong", "names no resource")
def a_reference_to_a_number() -> list[Any]:
    return of(Annotated[str, Ref(5)])


@wrong("Thing.limit", "choose another")
def a_name_that_is_a_parameter() -> list[Any]:
    return [type(Resource)("Thing", (Resource,), {"__annotations__": {"limit": int}, "__module__": __name__})]


@wrong("Thing.version", "take it out")
def a_base_field() -> list[Any]:
    namespace = {"__annotations__": {"version": int}, "version": 3, "__module__": __name__}
    return [type(Resource)("Thing", (Resource,), namespace)]


@wrong("Thing.path", "lower-case words")
def an_address_with_capitals() -> list[Any]:
    return of(str, path="My Things")


@wrong("Thing.path", "choose another")
def an_address_of_ramet() -> list[Any]:
    return of(str, path="batch")


@wrong("Thing.path", "choose another")
def the_address_of_the_event_stream() -> list[Any]:
    return of(str, path="events")


@wrong("Thing.path", "choose another")
def the_address_of_the_websocket() -> list[Any]:
    return of(str, path="live")


@wrong("Thing.path", "choose another")
def a_table_of_ramet() -> list[Any]:
    return of(str, path="ramet-changes")


@wrong("Other.path", "set another `path`")
def one_address_twice() -> list[Any]:
    other = type(Resource)("Other", (Resource,), {"path": "things", "__annotations__": {}, "__module__": __name__})
    return [*of(str), other]


@wrong("Other.path", "set another `path`")
def one_table_twice() -> list[Any]:
    other = type(Resource)("Other", (Resource,), {"path": "a/b", "__annotations__": {}, "__module__": __name__})
    return [*of(str, path="a-b"), other]


@wrong("Thing", "rename one")
def one_name_twice() -> list[Any]:
    return [*of(str), *of(str, path="others")]


@wrong("Thing.operations", "Did you mean 'delete'")
def an_operation_that_there_is_not() -> list[Any]:
    return of(str, operations=("list", "delet"))


@wrong("Thing.cache", "0 or more")
def a_cache_below_zero() -> list[Any]:
    return of(str, cache=-1)


@wrong("Thing.indexes", "Did you mean 'wrong'")
def an_index_over_nothing() -> list[Any]:
    return of(str, indexes=[Index("wron")])


@wrong("Thing.indexes", "write Index(")
def an_index_that_is_a_text() -> list[Any]:
    return of(str, indexes=["wrong"])


@wrong("Thing.indexes", "take it out")
def an_index_over_json() -> list[Any]:
    return of(Json, indexes=[Index("wrong")])


@wrong("Thing.sort", "Name another")
def an_order_by_nothing() -> list[Any]:
    return of(str, sort="-wrnog")


@wrong("Thing.sort", "Name another")
def an_order_by_what_is_hidden() -> list[Any]:
    return of(Annotated[str, Hidden], default="x", sort="wrong")


@wrong("Thing.sort", "Name another")
def an_order_by_texts_too_long_for_a_cursor() -> list[Any]:
    return of(Annotated[str, Length(max=5_000)], sort="wrong")


@wrong("Thing.search", "text fields only")
def a_search_in_numbers() -> list[Any]:
    return of(int, search=("wrong",))


@wrong("Thing.search", "text fields only")
def a_search_in_what_is_hidden() -> list[Any]:
    return of(Annotated[str, Hidden], default="x", search=("wrong",))


@wrong("Thing.act", "async def")
def an_action_that_is_not_async() -> list[Any]:
    def act(self: Any, ctx: Context) -> None: ...

    return of(str, act=action(act))  # type: ignore[type-var]  # that is what is wrong


@wrong("Thing.act", "ctx: Context")
def an_action_without_context() -> list[Any]:
    async def act(self: Any) -> None: ...

    return of(str, act=action(act))


@wrong("Thing.act", "needs a type")
def an_action_with_an_input_without_type() -> list[Any]:
    async def act(self, ctx, what): ...  # type: ignore[no-untyped-def]  # that is what is wrong

    return of(str, act=action(act))


@wrong("Thing.act", "name each input")
def an_action_with_any_inputs() -> list[Any]:
    async def act(self: Any, ctx: Context, **more: Any) -> None: ...

    return of(str, act=action(act))


@wrong("Thing.act", "Did you mean 'sign_in'")
def an_action_with_a_limit_that_there_is_not() -> list[Any]:
    async def act(self: Any, ctx: Context) -> None: ...

    return of(str, act=action(limit="signin")(act))


@wrong("Thing.hook", "create, update, delete")
def a_hook_that_waits_for_nothing_known() -> list[Any]:
    async def hook(self: Any, ctx: Context) -> None: ...

    return of(str, hook=before("save")(hook))  # type: ignore[arg-type]  # that is what is wrong


@wrong("Thing.hook", "one or more of")
def a_hook_that_waits_for_nothing() -> list[Any]:
    async def hook(self: Any, ctx: Context) -> None: ...

    return of(str, hook=after()(hook))


@wrong("hook", "in brackets")
def a_hook_without_brackets() -> list[Any]:
    async def hook(self: Any, ctx: Context) -> None: ...

    return of(str, hook=before(hook))  # type: ignore[arg-type]  # that is what is wrong


@wrong("Thing.hook", "async def")
def a_hook_that_is_not_async() -> list[Any]:
    def hook(self: Any, ctx: Context) -> None: ...

    return of(str, hook=before("create")(hook))  # type: ignore[type-var]  # that is what is wrong


@pytest.mark.parametrize(("declare", "place", "mend"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_wrong_declaration_is_refused_by_name(declare: Callable[[], list[Any]], place: str, mend: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        App(resources=declare())
    message = str(refused.value)
    assert message.startswith(f"{FILE}: "), message
    assert f"{place}:" in message
    assert mend in message
    assert message.endswith(".")


def test_what_is_not_a_resource_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"subclasses of ramet\.Resource"):
        App(resources=[int])  # type: ignore[list-item]  # that is what is wrong


def test_the_limits_that_actions_may_name_are_those_there_are() -> None:
    assert LIMITS == ROUTE_CLASSES


def test_a_subclass_replaces_the_hook_of_the_same_name() -> None:
    class Base(Resource):
        @before("create")
        async def stamp(self, ctx: Context) -> None: ...

    class Thing(Base):
        @before("update")
        async def stamp(self, ctx: Context) -> None: ...

    info = App(resources=[Thing]).catalog.by_name["Thing"]
    assert info.hooks_for("before", "create") == ()
    assert len(info.hooks_for("before", "update")) == 1


def test_fields_stand_in_any_order() -> None:
    class Thing(Resource):
        first: int = 1
        second: str

    info = App(resources=[Thing]).catalog.by_name["Thing"]
    assert info.fields["second"].required
    assert not info.fields["first"].required
