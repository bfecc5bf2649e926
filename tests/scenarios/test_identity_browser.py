"""Browsers: tokens in cookies that no script reads, and requests that another site makes a browser send."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests import instances

from .identity_world import PAGE, PASSWORD, World, running

ELSEWHERE = {"sec-fetch-site": "cross-site", "origin": "https://evil.test"}
SIGN_IN = {"email": "ann@example.org", "password": PASSWORD, "cookies": True}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as world:
        await world.register("ann@example.org")
        yield world


def cookie_header(answer: httpx.Response) -> str:
    """What a browser sends back after an answer."""
    return "; ".join(line.split(";")[0] for line in answer.headers.get_list("set-cookie"))


async def signed_in(world: World) -> str:
    answer = await world.ask("POST", "/auth/sign-in", json=SIGN_IN, headers=PAGE)
    assert answer.status_code == 200
    world.http.cookies.clear()
    return cookie_header(answer)


async def test_a_browser_gets_its_tokens_in_cookies_alone(world: World) -> None:
    answer = await world.ask("POST", "/auth/sign-in", json=SIGN_IN, headers=PAGE)
    assert set(answer.json()) == {"token_type", "expires_in", "session", "user"}
    access, refresh = answer.headers.get_list("set-cookie")
    assert re.fullmatch(
        r"__Host-ramet-access=[\w.-]+; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax", access, re.ASCII
    )
    assert re.fullmatch(
        r"__Host-ramet-refresh=rt_[\w-]+; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Strict", refresh, re.ASCII
    )
    assert answer.headers["cache-control"] == "no-store"


async def test_another_site_cannot_sign_a_browser_in(world: World) -> None:
    for headers in (
        ELSEWHERE,
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "https://app.test.evil.test"},
        {},
    ):
        answer = await world.ask("POST", "/auth/sign-in", json=SIGN_IN, headers=headers)
        assert answer.json()["code"] == "cross_site"
        assert "set-cookie" not in answer.headers
    for headers in (PAGE, {"origin": "https://app.test"}, {"sec-fetch-site": "none"}):
        answer = await world.ask("POST", "/auth/sign-in", json=SIGN_IN, headers=headers)
        assert answer.status_code == 200
    batch = {"atomic": False, "operations": [{"method": "POST", "path": "/api/v1/auth/sign-in", "body": SIGN_IN}]}
    answer = await world.ask("POST", "/batch", json=batch, headers=PAGE)
    assert answer.json()["results"][0]["body"]["code"] == "cross_site"


async def test_cookies_count_on_our_own_pages_alone(world: World) -> None:
    cookies = await signed_in(world)
    note = {"json": {"text": "x"}}
    for headers in (ELSEWHERE, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.test"}, {}):
        for path in ("/notes", "/auth/refresh", "/auth/sign-out", "/auth/sign-out-everywhere", "/auth/change-password"):
            answer = await world.ask("POST", path, headers={**headers, "cookie": cookies}, **note)
            assert answer.json()["code"] == "cross_site"
            assert "set-cookie" not in answer.headers
    answer = await world.ask("POST", "/notes", headers={**PAGE, "cookie": cookies}, **note)
    assert answer.status_code == 201
    assert (await world.ask("GET", "/users/me", headers={"cookie": cookies})).status_code == 200
    assert world.revoked == []


async def test_a_bearer_token_does_not_let_a_foreign_page_use_the_cookie(world: World) -> None:
    cookies = await signed_in(world)
    bob = await world.join("bob@example.org")
    headers = {**ELSEWHERE, "cookie": cookies}
    answer = await world.ask("POST", "/auth/refresh", bob["access_token"], headers=headers, json={})
    assert answer.json()["code"] == "cross_site"
    answer = await world.ask("POST", "/auth/sign-out", bob["access_token"], headers=headers, json={})
    assert answer.json()["code"] == "cross_site"


async def test_a_browser_refreshes_by_its_cookie(world: World) -> None:
    cookies = await signed_in(world)
    world.clock.forward(1_000)
    stale = await world.ask("GET", "/users/me", headers={"cookie": cookies})
    assert stale.json()["code"] == "unauthenticated"
    answer = await world.ask("POST", "/auth/refresh", headers={**PAGE, "cookie": cookies})
    assert answer.status_code == 200
    assert set(answer.json()) == {"token_type", "expires_in", "session", "user"}
    fresh = cookie_header(answer)
    world.http.cookies.clear()
    assert (await world.ask("GET", "/users/me", headers={"cookie": fresh})).status_code == 200
    world.clock.forward(20)
    replay = await world.ask("POST", "/auth/refresh", headers={**PAGE, "cookie": cookies})
    assert replay.json()["code"] == "session_ended"
    assert all("Max-Age=0" in line for line in replay.headers.get_list("set-cookie"))
    assert len(replay.headers.get_list("set-cookie")) == 2


async def test_a_token_in_the_input_is_answered_in_the_body_though_there_are_cookies(world: World) -> None:
    cookies = await signed_in(world)
    bob = await world.join("bob@example.org")
    answer = await world.ask(
        "POST", "/auth/refresh", json={"refresh_token": bob["refresh_token"]}, headers={**PAGE, "cookie": cookies}
    )
    assert answer.json()["session"] == bob["session"]
    assert answer.json()["refresh_token"]
    assert not {"__Host-ramet-access", "__Host-ramet-refresh"} & {
        line.split("=")[0] for line in answer.headers.get_list("set-cookie")
    }


async def test_signing_out_clears_the_cookies(world: World) -> None:
    for path in ("/auth/sign-out", "/auth/sign-out-everywhere"):
        cookies = await signed_in(world)
        answer = await world.ask("POST", path, headers={**PAGE, "cookie": cookies})
        assert answer.status_code == 204
        cleared = answer.headers.get_list("set-cookie")
        assert [line.split("=")[0] for line in cleared] == ["__Host-ramet-access", "__Host-ramet-refresh"]
        assert all("Max-Age=0" in line for line in cleared)
        world.http.cookies.clear()
        await instances.told(world.app)
        stale = await world.ask("GET", "/users/me", headers={"cookie": cookies})
        assert stale.json()["code"] == "unauthenticated"
        again = await world.ask("POST", "/auth/refresh", headers={**PAGE, "cookie": cookies})
        assert again.json()["code"] == "session_ended"
    refresh_alone = (await signed_in(world)).partition("; ")[2]
    answer = await world.ask("POST", "/auth/sign-out", headers={**PAGE, "cookie": refresh_alone})
    assert answer.status_code == 204
    assert world.revoked[-1][1] == "sign_out"


async def test_an_allowed_origin_may_sign_in(tmp_path: Path) -> None:
    async with running(tmp_path / "allowed", cors_origins=("https://pages.test",)) as world:
        await world.register("ann@example.org")
        headers = {"origin": "https://pages.test", "sec-fetch-site": "cross-site"}
        assert (await world.ask("POST", "/auth/sign-in", json=SIGN_IN, headers=headers)).status_code == 200


@pytest.mark.parametrize("listed", ["https://pages.test", "*"])
async def test_a_browser_is_told_once_what_a_page_of_another_site_may_do(tmp_path: Path, listed: str) -> None:
    """One that gets `Access-Control-Allow-Origin` twice keeps the answer from the page."""
    page = {"origin": "https://pages.test"}
    asking = {**page, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with running(tmp_path, cors_origins=(listed,)) as world:
        token = (await world.join())["access_token"]
        assert (await world.ask("POST", "/notes", token, json={"text": "a"}, headers=page)).status_code == 201
        first = await world.ask("GET", "/notes", token, headers=page)
        current = {**page, "if-none-match": first.headers["etag"]}
        answers = [
            first,
            await world.ask("GET", "/notes", token, headers=page),
            await world.ask("GET", "/notes", token, headers=current),
            await world.ask("OPTIONS", "/notes", headers=asking),
            await world.ask("OPTIONS", "/notes", headers=page),
            await world.ask("GET", "/notes", headers=page),
            await world.ask("GET", "/nowhere", headers=page),
            await world.ask("DELETE", "/notes", token, headers=page),
            await world.ask("POST", "/notes", token, json={"text": 1}, headers=page),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 304, 204, 204, 401, 404, 405, 422]
        for answer in answers:
            names = [name for name, _ in answer.headers.multi_items()]
            assert len(names) == len(set(names)), names
            assert answer.headers["access-control-allow-origin"] == ("*" if listed == "*" else "https://pages.test")
            assert ("access-control-allow-credentials" in names) is (listed != "*")
        assert answers[3].headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
        for path, methods in (("/batch", "OPTIONS, POST"), ("/events", "GET, HEAD, OPTIONS")):
            answer = await world.ask("OPTIONS", path, headers=asking)
            assert (answer.status_code, answer.headers["access-control-allow-methods"]) == (204, methods)
            assert "idempotency-key" in answer.headers["access-control-allow-headers"]
