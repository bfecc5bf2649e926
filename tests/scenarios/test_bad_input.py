"""Every operation × every wrong kind of body is refused with a problem, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from .bad_input_world import Call, World, in_process, refuse_all
from .bad_inputs import wrong_bodies, wrong_values

TYPES = (
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=iso-8859-1",
    "application/jsonx",
    "application/xml",
    "json",
    "",
    "x" * 2_000,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with in_process(tmp_path) as world:
        yield world


def with_bodies(world: World) -> Iterator[Call]:
    """A right request for each operation that takes a body."""
    for target in world.routes:
        if world.body(target) is not msgspec.UNSET:
            yield world.call(target)


async def test_right_requests_are_right(world: World) -> None:
    """What the wrong ones are made from would be accepted: otherwise this whole file would prove nothing."""
    for target in world.routes:
        if target.kind in ("list", "get", "update") and target.info.name in ("Shelf", "Book"):
            assert (await world.send(world.call(target))).status_code == 200, target.name


async def test_bodies_that_are_no_json_object(world: World) -> None:
    calls = (
        call
        for target in world.routes
        if target.method in ("POST", "PUT", "PATCH")
        for call in wrong_bodies(world, target)
    )
    assert await refuse_all(world, calls) > 500


async def test_wrong_values_unknown_and_missing_fields(world: World) -> None:
    calls = (
        call
        for target in world.routes
        if world.body(target) is not msgspec.UNSET
        for call in wrong_values(world, target)
    )
    assert await refuse_all(world, calls, 400, 401, 403, 409, 422) > 500


async def test_faults_name_the_field_and_the_nearest_right_name(world: World) -> None:
    for target in world.routes:
        call = world.call(target)
        for name in world.input_fields(target):
            if len(name) < 4:
                continue
            misspelt = name[:-1] + "zx"
            answer = await world.send(call._replace(body={**call.body, misspelt: 1}))
            faults = {fault["pointer"]: fault for fault in answer.json()["errors"]}
            assert (answer.status_code, faults[f"/{misspelt}"]["code"]) == (422, "unknown_field"), target.name
            assert f"Did you mean '{name}'?" in faults[f"/{misspelt}"]["detail"]


async def test_every_fault_of_an_input_is_listed(world: World) -> None:
    answer = await world.send(Call("POST", "/api/v1/books", {"pages": 0, "price": "x", "state": "?", "zzz": 1}))
    found = {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}
    assert found == {
        "/shelf": "required",
        "/title": "required",
        "/pages": "invalid_value",
        "/price": "invalid_value",
        "/state": "invalid_value",
        "/zzz": "unknown_field",
    }


async def test_content_types_and_codings_that_are_not_json(world: World) -> None:
    def calls() -> Iterator[Call]:
        for call in with_bodies(world):
            for kind in TYPES:
                yield call._replace(headers={**call.headers, "content-type": kind})
            for coding in ("gzip", "br", "zstd", "deflate", "x"):
                yield call._replace(headers={**call.headers, "content-encoding": coding})

    assert await refuse_all(world, calls(), 415) > 100


async def test_bodies_that_are_too_large(world: World) -> None:
    calls = (call._replace(body=b" " * 200_001) for call in with_bodies(world))
    await refuse_all(world, calls, 413)


async def test_an_idempotency_key_is_not_for_two_requests(world: World) -> None:
    key = {"idempotency-key": "once"}
    first = await world.send(Call("POST", "/api/v1/shelves", {"name": "One"}, key))
    assert first.status_code == 201
    calls = [
        Call("POST", "/api/v1/shelves", {"name": "Two"}, key),
        Call("POST", "/api/v1/books", world.right("Book"), key),
        Call("PATCH", f"/api/v1/shelves/{world.ids['Shelf']}", {"name": "One"}, key),
    ]
    await refuse_all(world, iter(calls), 409)
