"""Every operation × every wrong address, parameter, header, method and caller is refused, and changes nothing."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ramet.identity.tokens import AccessTokens
from ramet.interfaces.rest.routes import Target
from tests.test_divergence import OF_NGINX

from .bad_input_world import UNKNOWN, Call, World, in_process, refuse_all, wrong
from .bad_inputs import misspelt, wrong_parameters
from .test_identity_tokens import bad_tokens

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY", "LINK")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with in_process(tmp_path) as world:
        yield world


def is_public(target: Target) -> bool:
    return target.action is not None and target.action.public


async def test_wrong_parameters_of_lists(world: World) -> None:
    lists = [target for target in world.routes if target.kind == "list"]
    calls = (call for target in lists for call in wrong_parameters(world, target))
    assert await refuse_all(world, calls, 400) > 300


async def test_parameters_where_none_belong(world: World) -> None:
    calls = (
        call._replace(path=f"{world.address(target)}?{query}")
        for target in world.routes
        if target.kind != "list"
        for call in [world.call(target)]
        for query in ("zzz=1", "limit=1", "fields=zzz", "expand=zzz", "%FF", "state=new&state=old&state=new")
    )
    await refuse_all(world, calls, 400)


async def test_inputs_of_an_action_that_reads(world: World) -> None:
    queries = (
        "",
        "state=x",
        "state=",
        "state=new&least=x",
        "state=new&least=10",
        "state=new&zzz=1",
        "stat=new",
        "state=%00",
    )
    calls = (Call("GET", f"/api/v1/books/tally?{query}") for query in queries)
    await refuse_all(world, calls, 400, 422)
    assert (await world.send(Call("GET", "/api/v1/books/tally?state=new&least=1"))).text == "1"


async def test_the_nearest_right_name_is_suggested(world: World) -> None:
    for target in world.routes:
        if target.kind == "list":
            for call, name in misspelt(world, target):
                answer = await world.send(call)
                (fault,) = answer.json()["errors"]
                assert answer.status_code == 400
                assert fault["detail"].endswith(f"Did you mean '{name}'?"), fault


async def test_cursors_that_are_not_of_this_list(world: World) -> None:
    for number in range(3):
        for path, body in (("shelves", {"name": f"S{number}"}), ("books", world.right("Book"))):
            assert (await world.send(Call("POST", f"/api/v1/{path}", body))).status_code == 201

    async def cursor(query: str) -> str:
        return str((await world.send(Call("GET", f"/api/v1/{query}"))).json()["next"])

    good = await cursor("books?limit=1")
    unsigned = base64.urlsafe_b64encode(b'["2026-01-01T00:00:00.000000Z","x"]').decode().rstrip("=")
    middle = len(good) // 2
    flipped = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    forged = [
        "", "x", "null", "%00", "%FF", unsigned, flipped, good[:-4], good + "AAAA", good * 30, "=" * 9, good + "%3D%3D",
        await cursor("shelves?limit=1"), await cursor("books?limit=1&sort=title"),
        await cursor("books?limit=1&sort=created_at"),
    ]  # fmt: skip
    calls = [Call("GET", f"/api/v1/books?{name}={text}") for name in ("after", "before") for text in forged]
    calls.append(Call("GET", f"/api/v1/books?after={good}&before={good}"))
    await refuse_all(world, iter(calls), 400)
    assert (await world.send(Call("GET", f"/api/v1/books?after={good}"))).status_code == 200


async def test_wrong_headers(world: World) -> None:
    def calls() -> Iterator[Call]:
        for target in world.routes:
            call = world.call(target)
            wrong: list[tuple[str, str | bytes]] = [
                ("accept", "text/html"),
                ("accept", "application/json;q=0"),
                ("accept-encoding", "identity;q=0, *;q=0"),
                ("authorization", ""),
                ("authorization", "Basic YTpi"),
                ("authorization", "Bearer"),
            ]
            if not is_public(target):
                wrong += [
                    ("authorization", value)
                    for value in (b"Bearer \xff", f"Bearer {world.token}, Bearer {world.token}")
                ]
            reads = target.method == "GET"
            if not reads:
                wrong += [("idempotency-key", value) for value in ("", "x" * 256, "a\tb", b"\xe9")]
            if target.kind in ("update", "replace", "delete"):
                wrong += [
                    ("if-match", value) for value in ("1", "", '"', "W/", '"1", x', '"9"', '"x"', 'W/"1"', b'"\xe9"')
                ]
            if target.kind in ("list", "get"):
                wrong += [("if-none-match", value) for value in ("1", '"', "W/", '"1", x')]
            for name, value in wrong:
                yield call._replace(headers={**call.headers, name: value}, label=f"{target.name} {name}: {value!r}")

    assert await refuse_all(world, calls(), 400, 401, 403, 406, 412, 422) > 300


async def test_a_change_that_needs_a_match_is_refused_without(world: World) -> None:
    targets = [t for t in world.routes if t.info.require_match and t.kind in ("update", "replace", "delete")]
    await refuse_all(world, (world.call(target)._replace(headers={}) for target in targets), 428)


async def test_a_change_that_needs_a_match_is_done_whatever_the_version_to_who_says_so(world: World) -> None:
    path = f"/api/v1/books/{world.ids['Book']}"
    part = {"method": "PATCH", "path": path, "body": {"title": "Any"}}
    for batch, status in (([{**part, "if_match": "*"}], 200), ([{**part, "if_match": ""}], 428)):
        assert (await world.send(Call("POST", "/api/v1/batch", {"operations": batch}))).status_code == status
    targets = {target.kind: target for target in world.routes if target.info.name == "Book" and target.action is None}
    for kind, status in (("update", 200), ("replace", 200), ("delete", 204)):
        answer = await world.send(world.call(targets[kind])._replace(headers={"if-match": "*"}))
        assert answer.status_code == status, answer.text
    assert (await world.send(Call("DELETE", path, headers={"if-match": "*"}))).status_code == 404


async def test_methods_that_an_address_does_not_have(world: World) -> None:
    before = world.stored()
    paths = {target.path: world.address(target) for target in world.routes}
    for path, address in paths.items():
        have = {target.method for target in world.routes if target.path == path}
        for method in METHODS:
            if method not in have:
                call = Call(method, address)
                answer = await world.send(call)
                assert wrong(call, answer, 405) == ""
                if method in OF_NGINX:
                    continue
                allowed = set(answer.headers["allow"].split(", "))
                assert allowed == have | {"OPTIONS"} | ({"HEAD"} if "GET" in have else set())
    others = {"/health", "/ready", "/metrics", "/api/openapi.json", "/api/docs", "/api/v1/batch"}
    for address in others - OF_NGINX:
        answer = await world.send(Call("DELETE", address))
        assert (answer.status_code, bool(answer.headers["allow"])) == (405, True)
    assert world.stored() == before


async def test_every_address_tells_its_methods(world: World) -> None:
    """Also those that are no resources."""
    reading = {
        *("/", "/health", "/health/live", "/health/ready", "/ready", "/metrics", "/api/openapi.json", "/api/docs"),
        *("/api/v1/events", "/api/v1/live"),
    }
    told = dict.fromkeys(reading - OF_NGINX, "GET, HEAD, OPTIONS") | {"/api/v1/batch": "OPTIONS, POST"}
    for address, allowed in told.items():
        answer = await world.send(Call("OPTIONS", address), "")
        assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allowed, b""), address
        refused = await world.send(Call("DELETE", address))
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed), address
    assert (await world.send(Call("OPTIONS", "/nowhere"))).status_code == 404


async def test_addresses_that_lead_nowhere(world: World) -> None:
    ids = (
        UNKNOWN,
        world.ids["Book"].upper(),
        "x",
        "0",
        "..",
        "%2e%2e",
        "a%2Fb",
        "%00",
        "x" * 4_000,
        "{id}",
        "%7Bid%7D",
        "'--",
        "me",
    )
    calls = [
        world.call(target)._replace(path=target.path.replace("{id}", record_id))
        for target in world.routes
        if "{id}" in target.path and target.info.name != "User"
        for record_id in ids
    ]
    calls += [
        Call("GET", path)
        for path in (
            "/api/v1/bookz", "/api/v1/books/", "/api/v1//books", "/api/v1", "/api/v1/", "/api/v2/books",
            "/api/v1/Books", "/zzz",
            "/api/v1/books/%FF", "/api/v1/ramet_changes", "/api/v1/books/tally/x", "/api/docs/../../settings.py",
            "/api/docs/%2e%2e/reference.py", f"/api/v1/books/{world.ids['Book']}/zzz",
            f"/api/v1/books/{world.ids['Book']}/",
        )
    ]  # fmt: skip
    await refuse_all(world, iter(calls), 400, 404, 405)


async def test_addresses_and_headers_that_are_too_long(world: World) -> None:
    for target in world.routes:
        call = world.call(target)
        await refuse_all(world, iter([call._replace(path=f"{call.path}?q={'x' * 8_200}")]), 414)
        many = {**call.headers, **{f"x-{number}": "y" for number in range(120)}}
        await refuse_all(world, iter([call._replace(headers=many)]), 431)
        await refuse_all(world, iter([call._replace(headers={**call.headers, "x-large": "y" * 40_000})]), 431)


async def test_bad_tokens_of_every_kind(world: World) -> None:
    """Public operations aside: to refresh, a client sends the expired token along."""
    brief = AccessTokens(world.app.identity.keys, issuer="ramet", audience="ramet", ttl=1e-6)
    expired = brief.mint(user=world.ids["User"], session=world.ids["Session"], roles=[], now=time.time())
    seen: Any = SimpleNamespace(app=world.app)
    tokens = {**bad_tokens(world.token, world.refresh, seen), "expired": expired}
    for kind, token in tokens.items():
        calls = (
            world.call(target)._replace(label=f"{target.name} {kind}")
            for target in world.routes
            if not is_public(target)
        )
        await refuse_all(world, calls, 401, token=token)


async def test_strangers_and_others(world: World) -> None:
    private = [target for target in world.routes if not is_public(target)]
    await refuse_all(world, map(world.call, private), 401, token="")
    theirs = [t for t in private if "{id}" in t.path]
    await refuse_all(world, map(world.call, theirs), 403, 404, 422, token=world.stranger)
    foreign = Call("POST", "/api/v1/books", world.right("Book"))
    await refuse_all(world, iter([foreign]), 422, token=world.stranger)


async def test_wrong_batches(world: World) -> None:
    book = {"method": "POST", "path": "/api/v1/books", "body": world.right("Book")}
    bad_parts: list[Any] = [
        None, 1, "x", [], {}, {"method": "GET"}, {"path": "/api/v1/books"}, {**book, "zzz": 1}, {**book,
        "method": "post"},
        {**book, "method": "TRACE"}, {**book, "path": "/zzz"}, {**book, "path": "//["}, {**book,
        "path": "/api/v1/batch"},
        {**book, "path": "https://example.org/api/v1/books"}, {**book, "path": "/api/v1/books?x=1"}, {**book,
        "body": []},
        {**book, "body": {"title": 1}}, {**book, "body": {**book["body"], "shelf": UNKNOWN}}, {**book, "if_match": 1},
        {**book, "idempotency_key": "x" * 256}, {**book, "method": "PUT"}, {"method": "GET", "path": "/api/v1/books"},
        {"method": "DELETE", "path": f"/api/v1/books/{UNKNOWN}", "if_match": '"1"'},
        {"method": "DELETE", "path": f"/api/v1/books/{world.ids['Book']}", "if_match": "x"},
        {"method": "DELETE", "path": f"/api/v1/books/{world.ids['Book']}", "if_match": '"1"', "body": {}},
        {"method": "POST", "path": "/api/v1/auth/sign-in", "body": {"email": "a@b.de", "password": "x"}},
    ]  # fmt: skip
    bodies: list[Any] = [
        b"", b"{", b"[]", b'{"operations": [], "operations": []}', {}, {"operations": {}}, {"operations": []},
        {"operations": [book] * 101},
        {"operations": [book], "atomic": "yes"}, {"operations": [book], "zzz": 1},
        *({"operations": [book, part]} for part in bad_parts),
    ]  # fmt: skip
    calls = [Call("POST", "/api/v1/batch", body) for body in bodies]
    right = {"operations": [book]}
    calls += [
        Call("POST", "/api/v1/batch", right, {"content-type": "text/plain"}),
        Call("POST", "/api/v1/batch", right, {"accept": "text/html"}),
        Call("POST", "/api/v1/batch", right, {"accept-encoding": "identity;q=0, *;q=0"}),
        Call("POST", "/api/v1/batch?x=1", right),
        Call("GET", "/api/v1/batch"),
    ]
    await refuse_all(world, iter(calls))


async def test_parts_of_a_batch_are_refused_one_by_one(world: World) -> None:
    parts = [
        {"method": "GET", "path": "//["},
        {"method": "TRACE", "path": "/api/v1/books"},
        {"method": "GET", "path": "/api/v1/books?zzz=1"},
        {"method": "POST", "path": "/api/v1/books", "body": {"title": "\0"}},
        {"method": "GET", "path": f"/api/v1/books/{world.ids['Book']}"},
    ]
    before = world.stored()
    whole = await world.send(Call("POST", "/api/v1/batch", {"atomic": False, "operations": parts}))
    assert whole.status_code == 422
    parts[1]["method"] = "PATCH"
    answer = await world.send(Call("POST", "/api/v1/batch", {"atomic": False, "operations": parts}))
    assert [result["status"] for result in answer.json()["results"]] == [404, 405, 400, 422, 200]
    assert world.stored() == before
