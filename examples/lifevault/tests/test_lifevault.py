"""What LifeVault promises: vaults are shared with members and nobody else, and secrets with editors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from examples.lifevault.app import app
from ramet.testing import Caller, Client


class House(NamedTuple):
    """A vault with one item; its owner, an editor, a viewer, and somebody who has nothing to do with it."""

    client: Client
    owner: Caller
    editor: Caller
    viewer: Caller
    other: Caller
    vault: str
    item: str


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with Client(app) as client:
        owner, editor, viewer, other = [await client.sign_up(name) for name in ("owner", "editor", "viewer", "other")]
        vault = (await owner.post("vaults", {"name": "Family"})).ok()["id"]
        for member, role in ((editor, "editor"), (viewer, "viewer")):
            (await owner.post("members", {"vault": vault, "email": member.email, "role": role})).ok()
        item = (await owner.post("items", {"vault": vault, "title": "Safe", "secret": "4-17-8"})).ok()["id"]
        yield House(client, owner, editor, viewer, other, vault, item)


async def test_members_see_the_vault_and_what_is_in_it(house: House) -> None:
    for caller in (house.owner, house.editor, house.viewer):
        assert [vault["id"] for vault in (await caller.get("vaults")).items] == [house.vault]
        assert [item["title"] for item in (await caller.get("items")).items] == ["Safe"]
        assert (await caller.get(f"items/{house.item}")).status == 200


async def test_others_see_nothing_at_all(house: House) -> None:
    for path in ("vaults", "items", "members"):
        assert (await house.other.get(path)).items == []
        assert (await house.client.get(path)).status == 401
    assert (await house.other.get("items?q=safe")).items == []
    assert (await house.other.get(f"vaults/{house.vault}")).status == 404
    assert (await house.other.get(f"items/{house.item}")).status == 404
    assert (await house.other.patch(f"items/{house.item}", {"title": "Mine"})).status == 404
    assert (await house.other.delete(f"vaults/{house.vault}")).status == 404
    sneaked = await house.other.post("items", {"vault": house.vault, "title": "Trojan"})
    assert (sneaked.status, sneaked.faults) == (422, {"/vault": "unknown_reference"})


async def test_secrets_are_for_editors(house: House) -> None:
    async def secret(caller: Caller) -> Any:
        one = (await caller.get(f"items/{house.item}")).json
        (listed,) = (await caller.get("items")).items
        assert one.get("secret") == listed.get("secret")
        return one.get("secret")

    assert await secret(house.owner) == "4-17-8"
    assert await secret(house.editor) == "4-17-8"
    assert await secret(house.viewer) is None
    assert b"4-17-8" not in (await house.viewer.get("items?fields=id,secret")).body
    assert (await house.viewer.get("items?secret[starts]=4")).status in (400, 403, 422)
    assert (await house.viewer.get("items?sort=secret")).status in (400, 403, 422)


async def test_editors_write_and_viewers_do_not(house: House) -> None:
    new = {"vault": house.vault, "title": "Alarm"}
    added = (await house.editor.post("items", new)).ok()
    assert (await house.viewer.post("items", new)).status == 403
    assert (await house.viewer.patch(f"items/{added['id']}", {"title": "Bell"})).status == 403
    assert (await house.viewer.delete(f"items/{added['id']}")).status == 403
    assert (await house.editor.patch(f"items/{added['id']}", {"title": "Bell"})).ok()["title"] == "Bell"
    assert (await house.owner.delete(f"items/{added['id']}")).status == 204
    assert (await house.editor.patch(f"vaults/{house.vault}", {"name": "Ours"})).status == 403


async def test_only_the_owner_manages_members(house: House) -> None:
    invited = {"vault": house.vault, "email": house.other.email}
    assert (await house.editor.post("members", invited)).status == 403
    assert (await house.other.get("vaults")).items == []
    (viewing,) = (await house.viewer.get("members")).items
    assert viewing["email"] == house.viewer.email
    assert (await house.viewer.patch(f"members/{viewing['id']}", {"role": "editor"})).status == 403
    assert (await house.editor.get(f"members/{viewing['id']}")).status == 404
    assert len((await house.owner.get("members")).items) == 2


async def test_who_is_let_in_or_out_sees_it_at_once(house: House) -> None:
    member = (await house.owner.post("members", {"vault": house.vault, "email": house.other.email.upper()})).ok()
    assert member["user"] == house.other.id
    assert len((await house.other.get("items")).items) == 1
    (await house.owner.patch(f"members/{member['id']}", {"role": "editor"})).ok()
    assert (await house.other.get(f"items/{house.item}")).json["secret"] == "4-17-8"
    assert (await house.other.delete(f"members/{member['id']}")).status == 204  # members may leave
    assert (await house.other.get("items")).items == []


async def test_members_are_users_and_each_only_once(house: House) -> None:
    nobody = await house.owner.post("members", {"vault": house.vault, "email": "nobody@example.com"})
    twice = await house.owner.post("members", {"vault": house.vault, "email": house.viewer.email})

    assert nobody.faults == {"/email": "unknown_user"}
    assert twice.code == "not_unique"
    assert len((await house.owner.get("members")).items) == 2


async def test_an_item_stays_in_its_vault(house: House) -> None:
    own = (await house.editor.post("vaults", {"name": "Mine"})).ok()["id"]

    moved = await house.editor.patch(f"items/{house.item}", {"vault": own})

    assert list(moved.faults) == ["/vault"]
    assert (await house.owner.get(f"items/{house.item}")).json["vault"] == house.vault


async def test_a_vault_takes_everything_with_it(house: House) -> None:
    assert (await house.owner.delete(f"vaults/{house.vault}")).status == 204

    for caller in (house.owner, house.editor, house.viewer):
        for path in ("vaults", "items", "members"):
            assert (await caller.get(path)).items == []


async def test_the_demo_is_a_family() -> None:
    async with Client(app, demo=True) as client:
        lena, mia = [await client.sign_in(f"{name}@lifevault.example", "rainy-day-folder") for name in ("lena", "mia")]
        hers, seen = (await lena.get("items")).items, (await mia.get("items")).items

    assert len(hers) == len(seen) + 1
    assert not any("secret" in item and item["secret"] for item in seen)
