"""What Profiles promises: a directory that is searched, paged and changed in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.profiles.app import app
from ramet.testing import Caller, Client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(app, demo=True) as client:
        yield client


@pytest.fixture
async def hr(client: Client) -> Caller:
    return await client.sign_in("hr@profiles.example", "welcome-aboard-120")


async def test_pages_go_forth_and_back_and_hold_everybody_once(client: Client) -> None:
    names: list[str] = []
    page = (await client.get("profiles?limit=50")).ok()
    first = page
    names += [profile["name"] for profile in page["items"]]
    while page["next"]:
        page = (await client.get("profiles", {"limit": 50, "after": page["next"]})).ok()
        names += [profile["name"] for profile in page["items"]]

    assert len(names) == len(set(names)) == 120
    assert names == sorted(names)
    back = (await client.get("profiles", {"limit": 50, "before": page["previous"]})).ok()
    back = (await client.get("profiles", {"limit": 50, "before": back["previous"]})).ok()
    assert back["items"] == first["items"]


async def test_search_finds_by_name_team_and_headline(client: Client) -> None:
    async def found(query: str) -> set[str]:
        return {profile["name"] for profile in (await client.get(f"profiles?limit=100&{query}")).items}

    assert await found("q=aino+berg") == {"Aino Berg"}
    platform = await found("q=machines")
    assert platform == await found("team=Platform")
    assert len(platform) == 24
    assert await found("team=Platform&office=Oslo") == platform & await found("office=Oslo")


async def test_addresses_are_for_colleagues(client: Client) -> None:
    colleague = await client.sign_up("ada")

    assert "email" not in (await client.get("profiles")).items[0]
    assert b"@profiles" not in (await client.get("profiles?fields=id,email&limit=100")).body
    assert (await client.get("profiles?email[starts]=aino")).status in (400, 403, 422)
    assert (await colleague.get("profiles")).items[0]["email"].endswith("@profiles.example")


async def test_a_batch_moves_a_team_together(client: Client, hr: Caller) -> None:
    team = (await client.get("profiles?team=Design&limit=100")).items
    operations = [
        {"method": "PATCH", "path": f"/api/v1/profiles/{profile['id']}", "body": {"office": "Osaka"}}
        for profile in team
    ]

    answers = (await hr.post("batch", {"operations": operations})).ok()

    assert len(answers["results"]) == len(team)
    assert {profile["office"] for profile in (await client.get("profiles?team=Design&limit=100")).items} == {"Osaka"}


async def test_a_batch_with_a_fault_changes_nothing(client: Client, hr: Caller) -> None:
    first, second = (await client.get("profiles?limit=2")).items

    def change(profile: dict[str, Any], office: str) -> dict[str, Any]:
        return {"method": "PATCH", "path": f"/api/v1/profiles/{profile['id']}", "body": {"office": office}}

    refused = await hr.post("batch", {"operations": [change(first, "Kiruna"), change(second, "")]})

    assert 400 <= refused.status < 500
    assert (await client.get(f"profiles/{first['id']}")).json == first


async def test_only_human_resources_writes(client: Client, hr: Caller) -> None:
    colleague = await client.sign_up("ada")
    (profile,) = (await client.get("profiles?q=aino+berg")).items
    new = {"name": "Zoe", "email": "zoe@profiles.example", "team": "Sales", "office": "Oslo"}

    assert (await colleague.post("profiles", new)).status == 403
    assert (await client.post("profiles", new)).status == 401
    assert (await colleague.patch(f"profiles/{profile['id']}", {"headline": "Ha"})).status == 403
    assert (await colleague.delete(f"profiles/{profile['id']}")).status == 403
    (await hr.post("profiles", new)).ok()
    assert (await hr.post("profiles", new)).code == "not_unique"
