"""Actions that could not be served as they are declared are refused at start."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ramet import App, Context, Resource, action
from ramet.declare.addresses import RESERVED
from ramet.errors import DeclarationError
from ramet.interfaces.realtime.live import LIVE
from ramet.interfaces.rest.routes import BATCH, EVENTS, PREFIX


class Unlisted(Resource):
    title: str


def thing(function: Any, on_collection: bool = True, **options: Any) -> type[Resource]:
    marked = action(**options)(classmethod(function) if on_collection else function)
    body = {"__module__": __name__, "__annotations__": {"title": str}, "path": "ts", "act": marked}
    return type(Resource)("Thing", (Resource,), body)


def refused(resource: type[Resource], mend: str, *others: type[Resource]) -> None:
    with pytest.raises(DeclarationError, match=re.escape(mend)) as caught:
        App(resources=[resource, *others])
    assert str(caught.value).startswith("test_action_refusals.py: Thing.act: ")


async def act(cls: Any, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("/ts", "Thing has its create at POST /api/v1/ts already; give it another `path`"),
        ("/others", "Other has its create"),
        ("/auth/sign-in", "User has its action 'sign_in'"),
        ("/batch", "choose another"),
        ("/events", "choose another"),
        ("/live", "choose another"),
        ("/auth", "choose another"),
        ("/users/me", "choose another"),
        ("x", "write '/' before"),
        ("/", "write '/' before"),
        ("/Ts", "write '/' before"),
        ("/ts/", "write '/' before"),
        ("/ts/{id}", "write '/' before"),
        (5, "path takes a text"),
    ],
)
def test_an_address_that_an_action_cannot_have(path: Any, mend: str) -> None:
    other = type(Resource)("Other", (Resource,), {"__module__": __name__, "__annotations__": {}})
    refused(thing(act, path=path), mend, other)


def test_two_actions_with_one_address() -> None:
    second = action(path="/same")(classmethod(act))  # type: ignore[type-var]  # a class method, as in a class
    body = {"__module__": __name__, "__annotations__": {}, "first": second, "act": second}
    refused(type(Resource)("Thing", (Resource,), body), "Thing has its action 'first' at POST /api/v1/same")


def test_a_path_of_an_action_on_a_record() -> None:
    refused(thing(act, on_collection=False, path="/finish"), "take path='/finish' out")


def test_what_is_reserved_is_what_ramet_serves() -> None:
    assert {address.removeprefix(f"{PREFIX}/") for address in (BATCH, EVENTS, LIVE)} < RESERVED


def test_an_action_may_share_an_address_with_another_method() -> None:
    app = App(resources=[thing(act, path="/ts/some"), type(Resource)("Other", (Resource,), {"path": "others"})])
    assert app.catalog.by_name["Thing"].actions["act"].path == "/ts/some"


def test_a_return_type_without_json() -> None:
    async def act(cls: Any, ctx: Context) -> complex:
        return 1j

    refused(thing(act), "returns complex, for which there is no JSON")


def test_a_returned_resource_that_the_application_does_not_have() -> None:
    async def act(cls: Any, ctx: Context) -> list[Unlisted]:
        return []

    refused(thing(act), "returns Unlisted, which is not a resource of this application")


@pytest.mark.parametrize("status", [999, 100, 404, 204, 205])
def test_a_status_that_is_none_of_an_answer(status: int) -> None:
    async def act(cls: Any, ctx: Context) -> int:
        return 1

    refused(thing(act, status=status), "write one from 200 to 299")


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"red": True}, "Did you mean 'reads'? It takes reads, transaction, path, public, limit, status"),
        ({"reads": "yes"}, "reads takes True or False"),
        ({"public": None}, "public takes True or False"),
        ({"limit": 5}, "limit takes a text"),
        ({"status": "200"}, "status takes a whole number"),
        ({"status": True}, "status takes a whole number"),
    ],
)
def test_options_of_an_action_that_are_not_possible(options: dict[str, Any], mend: str) -> None:
    refused(thing(act, **options), mend)


def test_a_default_of_another_type() -> None:
    async def act(cls: Any, ctx: Context, x: int = "a") -> None: ...  # type: ignore[assignment]  # that is what is wrong

    refused(thing(act), "the input 'x' has the default 'a', which it may not hold")


def test_a_default_of_none_that_may_not_be_null() -> None:
    nothing: Any = None

    async def act(cls: Any, ctx: Context, x: int = nothing) -> None: ...

    refused(thing(act), "the input 'x' has the default None but may not be null")


def test_a_subclass_may_put_something_else_in_an_actions_place() -> None:
    base = thing(act)
    plain = type(Resource)("Plain", (base,), {"__module__": __name__, "act": lambda self: None, "path": "plain"})
    assert App(resources=[plain]).catalog.by_name["Plain"].actions == {}
