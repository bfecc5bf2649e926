"""Bad access tokens of every known kind over HTTP: refused alike, and nothing is done."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ramet.identity.keys import KeyRing
from ramet.identity.tokens import AccessTokens

from .identity_world import START, World, running

NOW = START / 1e6


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as world:
        yield world


def b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def bad_tokens(good: str, refresh: str, world: World) -> dict[str, str]:
    head, body, signature = good.split(".")
    header, claims = unb64(head), unb64(body)
    stranger = KeyRing(b"another root secret of 32 bytes and more", overlap=900)
    stranger.rotate(NOW)
    theirs = AccessTokens(stranger, issuer="ramet", audience="ramet", ttl=900)
    elsewhere = AccessTokens(world.app.identity.keys, issuer="ramet", audience="another", ttl=900)
    who = {"user": claims["sub"], "session": claims["sid"], "roles": ["admin"], "now": NOW}
    public = world.app.identity.keys.public_keys(NOW)["keys"][0]["x"]
    confused = f"{b64({**header, 'alg': 'HS256'})}.{body}"
    mac = hmac.digest(base64.urlsafe_b64decode(public + "="), confused.encode(), hashlib.sha256)
    return {
        "no signature": f"{b64({**header, 'alg': 'none'})}.{body}.",
        "none, signed": f"{b64({**header, 'alg': 'none'})}.{body}.{signature}",
        "public key as secret": f"{confused}.{b64(mac)}",
        "other algorithm": f"{b64({**header, 'alg': 'ES256'})}.{body}.{signature}",
        "other type": f"{b64({**header, 'typ': 'JWT'})}.{body}.{signature}",
        "other key": theirs.mint(**who),
        "other audience": elsewhere.mint(**who),
        "changed claims": f"{head}.{b64({**claims, 'roles': ['admin']})}.{signature}",
        "changed signature": f"{head}.{body}.{b64(b'x' * 64)}",
        "cut": good[:-4],
        "refresh token": refresh,
        "two parts": f"{head}.{body}",
        "five parts": f"{good}.{body}.{signature}",
        "not encoded": "a.b.c",
        "too long": good + "A" * 5_000,
        "control character": "a\tb",
    }


async def test_every_kind_of_bad_token_is_refused_alike_and_changes_nothing(world: World) -> None:
    ann = await world.join()
    seen = set()
    for kind, token in bad_tokens(ann["access_token"], ann["refresh_token"], world).items():
        for method, path in (("GET", "/users/me"), ("POST", "/notes"), ("POST", "/auth/sign-out-everywhere")):
            answer = await world.ask(method, path, token, json={"text": "x"})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), kind
            seen.add(answer.content)
        quiet = await world.ask("GET", "/users/me", headers={"cookie": f"__Host-ramet-access={token}"})
        assert quiet.json()["code"] == "unauthenticated", kind
    assert len(seen) == 1
    assert await world.code(ann["access_token"]) == "ok"
    assert (await world.ask("GET", "/notes", ann["access_token"])).json()["items"] == []
    assert world.revoked == []


async def test_an_authorization_that_is_no_bearer_token_is_refused(world: World) -> None:
    await world.join()
    for value in ("", "Bearer", "Bearer ", "Basic YTpi", "Digest x", "bearer", "Token x"):
        answer = await world.ask("GET", "/users/me", headers={"authorization": value})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), value


async def test_a_token_ends_with_its_time_and_refreshing_helps(world: World) -> None:
    ann = await world.join()
    world.clock.forward(899)
    assert await world.code(ann["access_token"]) == "ok"
    world.clock.forward(1)
    answer = await world.ask("GET", "/users/me", ann["access_token"])
    assert answer.json()["detail"] == "The access token has expired."
    assert await world.code((await world.refresh(ann["refresh_token"])).json()["access_token"]) == "ok"
