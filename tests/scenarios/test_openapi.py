"""The description of the API says everything that the routes do, nothing that is hidden, and hangs together."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from ramet.errors import ERRORS
from ramet.interfaces.http.cors import RESPONSE_HEADERS

from .bad_input_world import Call, World, in_process

HTML_ID = re.compile(r"[A-Za-z][\w-]*")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with in_process(tmp_path) as world:
        yield world


@pytest.fixture
async def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = (await world.send(Call("GET", "/api/openapi.json"), "")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def resolve(document: dict[str, Any], node: dict[str, Any]) -> Any:
    at: Any = document
    for key in node["$ref"].removeprefix("#/").split("/") if "$ref" in node else ():
        at = at[key]
    return at if "$ref" in node else node


def names(document: dict[str, Any], path: str, method: str) -> list[str]:
    given = document["paths"][path][method]["parameters"]
    return [resolve(document, parameter)["name"] for parameter in given]


async def test_every_operation_is_described_and_no_other(world: World, document: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, method, _ in operations(document)}
    served = {(target.path, target.method) for target in world.routes}
    assert described - served == {
        ("/api/v1/batch", "POST"),
        ("/api/v1/events", "GET"),
        ("/health", "GET"),
        ("/health/live", "GET"),
        ("/health/ready", "GET"),
        ("/metrics", "GET"),
        ("/ready", "GET"),
    }
    assert served <= described


async def test_names_are_unique_and_references_lead_somewhere(document: dict[str, Any]) -> None:
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(identifiers) == len(set(identifiers))
    assert all(HTML_ID.fullmatch(name) for name in identifiers)
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} <= tags
    for node in nodes(document):
        if isinstance(node.get("$ref"), str):
            assert resolve(document, node), node
        if "operationId" in node:
            assert node["operationId"] in identifiers


async def test_schemas_are_schemas(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


async def test_what_is_hidden_is_not_described(document: dict[str, Any]) -> None:
    for name in ("BookRecord", "BookCreate", "BookReplace", "BookUpdate", "UserRecord"):
        assert (
            not {"secret", "password_hash", "registered_at"}
            & document["components"]["schemas"][name]["properties"].keys()
        )
    for _, method, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            text = json.dumps(parameter)
            assert '"secret' not in text, (method, parameter)
            assert "password_hash" not in text


async def test_inputs_say_exactly_what_is_taken(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    create, update = schemas["BookCreate"], schemas["BookUpdate"]
    assert create["required"] == ["shelf", "title"]
    assert "required" not in update
    assert create["additionalProperties"] is update["additionalProperties"] is False
    assert "code" in create["properties"]
    assert "code" not in update["properties"]  # fixed at creation
    assert "counted" not in create["properties"]
    assert create["properties"]["shelf"]["x-resource"] == "Shelf"
    assert create["properties"]["lent_to"]["type"] == ["string", "null"]
    assert create["properties"]["price"]["default"] == "1"
    assert create["properties"]["code"]["pattern"] == "^(?:[A-Z]{2}-[0-9]+)$"
    assert schemas["BookStampInput"]["required"] == ["times"]


async def test_parameters_follow_the_declaration(document: dict[str, Any]) -> None:
    books, shelves = names(document, "/api/v1/books", "get"), names(document, "/api/v1/shelves", "get")
    assert "q" in shelves
    assert "q" not in books
    assert "expand" in books
    assert "expand" not in shelves
    assert {"title[contains]", "pages[gte]", "state[in]", "lent_to[is]", "note"} <= set(books)
    assert not {"pages[contains]", "read[lt]", "meta", "secret", "id[starts]"} & set(books)
    assert names(document, "/api/v1/books/tally", "get")[:2] == ["state", "least"]
    (match,) = (
        p for p in document["paths"]["/api/v1/books/{id}"]["patch"]["parameters"] if p.get("name") == "If-Match"
    )
    assert match["required"] is True


async def test_who_may_call_is_told(document: dict[str, Any]) -> None:
    paths = document["paths"]
    assert paths["/api/v1/books"]["get"]["security"] == [{"bearer": []}, {"cookie": []}]
    assert {} in paths["/api/v1/auth/sign-in"]["post"]["security"]
    assert paths["/health"]["get"]["security"] == [{}]


async def test_every_error_is_described_with_its_headers(document: dict[str, Any]) -> None:
    shared = document["components"]["responses"]
    assert {response.removeprefix("Problem") for response in shared} == {str(kind.status) for kind in ERRORS.values()}
    assert "Retry-After" in shared["Problem429"]["headers"]
    assert "WWW-Authenticate" in shared["Problem401"]["headers"]
    examples = [
        code
        for response in shared.values()
        for media in response.get("content", {}).values()
        for code in media["examples"]
    ]
    assert set(examples) | {"uri_too_long", "headers_too_large"} == set(ERRORS)
    problem = document["components"]["schemas"]["Problem"]
    for response in shared.values():
        for media in response.get("content", {}).values():
            for example in media["examples"].values():
                assert jsonschema_rs.is_valid(problem, example["value"])


async def test_pages_of_other_sites_may_read_every_header_that_is_described(document: dict[str, Any]) -> None:
    answers = [answer for _, _, operation in operations(document) for answer in operation["responses"].values()]
    described = {name.lower() for answer in answers for name in resolve(document, answer).get("headers", ())}
    assert described - {"set-cookie"} <= set(RESPONSE_HEADERS)  # that one no script may read


async def test_answers_fit_their_schemas(world: World, document: dict[str, Any]) -> None:
    for path, method in (
        ("books", "get"),
        ("books/{id}", "get"),
        ("books/{id}", "patch"),
        ("shelves", "get"),
        ("users", "get"),
    ):
        described = document["paths"][f"/api/v1/{path}"][method]["responses"]["200"]
        schema = {**described["content"]["application/json"]["schema"], "components": document["components"]}
        address = f"/api/v1/{path.replace('{id}', world.ids['Book'])}"
        for query in (
            ("", "?expand=shelf&fields=title", "?count=exact") if (path, method) == ("books", "get") else ("",)
        ):
            body, headers = ({"title": "Other"}, {"if-match": '"1"'}) if method == "patch" else (..., {})
            call = Call(method.upper(), address + query, headers=headers)
            answer = await world.send(call if body is ... else call._replace(body=body))
            assert answer.status_code == 200
            jsonschema_rs.validate(schema, answer.json())
            assert all(name in answer.headers for name in ("etag", "ramet-cache", "x-request-id"))


async def test_a_batch_has_the_headers_that_are_described(world: World, document: dict[str, Any]) -> None:
    described = document["paths"]["/api/v1/batch"]["post"]["responses"]["200"]["headers"]
    path = f"/api/v1/books/{world.ids['Book']}"
    book = {"method": "PATCH", "path": path, "body": {"title": "Other"}, "if_match": '"1"'}
    for atomic, code in ((True, 200), (False, 412)):
        answer = await world.send(Call("POST", "/api/v1/batch", {"operations": [book], "atomic": atomic}))
        assert (answer.status_code, answer.json()["results"][0]["status"]) == (200, code)
        position = {"ramet-position"} if code == 200 else set()
        assert {name.lower() for name in described} == {"x-request-id", "ramet-cache", "ramet-position"}
        assert {"x-request-id", "ramet-cache"} | position <= set(answer.headers)
        assert not {"server-timing", "ratelimit", "ratelimit-policy"} & set(answer.headers)


async def test_it_is_served_with_a_tag_and_made_once(world: World) -> None:
    first = await world.send(Call("GET", "/api/openapi.json"), "")
    again = await world.send(Call("GET", "/api/openapi.json", headers={"if-none-match": first.headers["etag"]}), "")
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert first.headers["content-type"] == "application/json"
    assert again.headers["etag"] == first.headers["etag"]
