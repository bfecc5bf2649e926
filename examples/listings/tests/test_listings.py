"""What Listings promises: everybody reads and searches, agents write, and what agents note stays with them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.listings.app import SALES, app, read_sales
from ramet.testing import Client

HOME: dict[str, Any] = {"city": "Galt", "zip": "95632", "price": 300_000, "size": 1_500, "beds": 3, "baths": "2"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(app) as client:
        yield client


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with SALES.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_is_the_published_one(rows: list[dict[str, str]]) -> None:
    assert hashlib.sha256(SALES.read_bytes()).hexdigest().startswith("b957892db4bf4976")
    assert len(read_sales()) == len(rows) == 932


async def test_the_demo_is_filtered_by_city_price_and_size(rows: list[dict[str, str]]) -> None:
    async with Client(app, demo=True) as client:
        query = {"city": "Elk Grove", "price[lte]": 250_000, "size[gte]": 1_500, "sort": "price", "limit": 100}
        found = (await client.get("listings", query)).items
        every = (await client.get("listings?count=exact&limit=1")).json["count"]
        condos = (await client.get("listings?q=condo+folsom")).items

    expected = [
        int(row["price"])
        for row in rows
        if row["city"] == "Elk Grove" and int(row["price"]) <= 250_000 and int(row["size"]) >= 1_500
    ]
    assert [home["price"] for home in found] == sorted(expected)
    assert len(expected) > 10
    assert every == 932
    assert all(home["kind"] == "condo" and home["city"] == "Folsom" for home in condos)
    assert len(condos) == sum(row["kind"] == "condo" and row["city"] == "Folsom" for row in rows)


async def test_pages_hold_every_listing_once() -> None:
    async with Client(app, demo=True) as client:
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = (await client.get("listings", {"limit": 100, "sort": "-price", **after})).ok()
            seen += [home["id"] for home in page["items"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}

    assert len(seen) == len(set(seen)) == 932


async def test_agents_write_and_nobody_else(client: Client) -> None:
    agent = await client.sign_up("agent", roles=["agent"])
    buyer = await client.sign_up("buyer")

    home = (await agent.post("listings", HOME)).ok()

    assert home["headline"] == "3-bedroom house in Galt"
    assert (await client.post("listings", HOME)).status == 401
    assert (await buyer.post("listings", HOME)).status == 403
    assert (await buyer.patch(f"listings/{home['id']}", {"price": 1})).status == 403
    assert (await buyer.delete(f"listings/{home['id']}")).status == 403
    assert (await client.get(f"listings/{home['id']}")).json["price"] == 300_000
    assert (await agent.patch(f"listings/{home['id']}", {"price": 290_000})).ok()["price"] == 290_000


async def test_remarks_are_for_agents_only(client: Client) -> None:
    agent = await client.sign_up("agent", roles=["agent"])
    buyer = await client.sign_up("buyer")
    home = (await agent.post("listings", {**HOME, "remarks": "Key under the mat"})).ok()

    for stranger in (client, buyer):
        assert "remarks" not in (await stranger.get(f"listings/{home['id']}")).json
        assert "remarks" not in (await stranger.get("listings")).items[0]
        assert (await stranger.get("listings?remarks[contains]=key")).status in (400, 403, 422)
        assert b"mat" not in (await stranger.get("listings?fields=id,remarks")).body
    assert (await agent.get("listings")).items[0]["remarks"] == "Key under the mat"


async def test_one_cached_list_serves_everybody_until_a_change(client: Client) -> None:
    agent = await client.sign_up("agent", roles=["agent"])
    buyer = await client.sign_up("buyer")
    home = (await agent.post("listings", HOME)).ok()

    first = await client.get("listings?city=Galt")
    second = await buyer.get("listings?city=Galt")
    again = await client.get("listings?city=Galt", if_none_match=first.headers["etag"])
    (await agent.patch(f"listings/{home['id']}", {"price": 250_000})).ok()
    third = await client.get("listings?city=Galt")

    assert (first.headers["ramet-cache"], second.headers["ramet-cache"]) == ("miss", "near")
    assert again.status == 304
    assert third.headers["ramet-cache"] == "miss"
    assert third.items[0]["price"] == 250_000


@pytest.mark.parametrize(
    ("field", "value"), [("zip", "9563"), ("price", 0), ("size", -5), ("city", ""), ("baths", "1.25")]
)
async def test_impossible_homes_are_refused(client: Client, field: str, value: object) -> None:
    agent = await client.sign_up("agent", roles=["agent"])

    refused = await agent.post("listings", {**HOME, field: value})

    assert refused.status == 422
    assert list(refused.faults) == [f"/{field}"]
    assert (await client.get("listings")).items == []
