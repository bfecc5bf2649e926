"""What Taskboard promises: register, sign in, and a board that nobody else sees."""

from __future__ import annotations

from examples.taskboard.app import app
from ramet.testing import Client


async def test_from_registration_to_an_own_board() -> None:
    async with Client(app) as client:
        account = {"email": "kim@example.com", "password": "a long enough secret"}
        assert (await client.post("auth/register", account)).status == 202
        kim = await client.sign_in(account["email"], account["password"])

        card = (await kim.post("tasks", {"title": "Try Ramet"})).ok()
        (await kim.patch(f"tasks/{card['id']}", {"column": "done"})).ok()

        assert [card["title"] for card in (await kim.get("tasks?column=done")).items] == ["Try Ramet"]
        assert (await kim.get("users/me")).json["email"] == "kim@example.com"
        assert (await kim.patch(f"tasks/{card['id']}", {"column": "later"})).faults == {"/column": "invalid_value"}


async def test_boards_are_private() -> None:
    async with Client(app, demo=True) as client:
        sam = await client.sign_in("sam@taskboard.example", "three-columns")
        ada = await client.sign_up("ada")
        cards = (await sam.get("tasks")).items

        assert len(cards) == 4
        assert (await ada.get("tasks")).items == []
        assert (await ada.get(f"tasks/{cards[0]['id']}")).status == 404
        assert (await ada.delete(f"tasks/{cards[0]['id']}")).status == 404
        assert (await client.get("tasks")).status == 401
        assert (await sam.get("tasks")).items == cards


async def test_after_signing_out_the_session_is_worth_nothing() -> None:
    async with Client(app) as client:
        ada = await client.sign_up("ada")
        assert (await ada.get("tasks")).status == 200
        assert (await ada.post("auth/sign-out")).status == 204
        assert (await ada.get("tasks")).code == "session_ended"
