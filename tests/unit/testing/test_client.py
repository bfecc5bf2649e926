"""The public test client: a whole application, its callers and its clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pytest

from ramet import App, Context, Length, Resource, SignIn
from ramet.testing import PASSWORD, Client, Clock


class Note(Resource):
    """A note."""

    text: Annotated[str, Length(1, 50)]


async def demo(ctx: Context) -> SignIn:
    """One user with one note."""
    ready = SignIn("ann@example.com", "a-good-long-secret")
    ann = await app.create_user(ready.email, ready.password)
    await ctx.as_user(ann).create(Note(text="Hello"))
    return ready


app = App(resources=[Note], demo=demo)


async def test_each_client_has_a_database_of_its_own() -> None:
    for _ in range(2):
        async with Client(app) as client:
            ann = await client.sign_up("Ann")
            assert (await ann.get("notes")).items == []
            (await ann.post("notes", {"text": "One"})).ok()
            folder = Path(client.app.settings.database_url.removeprefix("sqlite:///")).parent
            assert "test.db" in os.listdir(folder)
        assert folder.name not in os.listdir(folder.parent)


async def test_callers_are_who_they_say() -> None:
    async with Client(app) as client:
        ann = await client.sign_up("Ann", roles=["editor"])
        me = (await ann.get("users/me")).ok()

        assert (me["id"], me["email"], me["roles"]) == (ann.id, "ann@example.com", ["editor"])
        assert (await client.get("users/me")).status == 401
        assert (await client.sign_in(ann.email, PASSWORD)).id == ann.id
        with pytest.raises(AssertionError, match="401"):
            await client.sign_in(ann.email, "something else")


async def test_refusals_are_told_and_successes_are_values() -> None:
    async with Client(app) as client:
        ann = await client.sign_up("Ann")
        refused = await ann.post("notes", {"text": "", "more": 1})

        assert (refused.status, refused.code) == (422, "invalid_input")
        assert set(refused.faults) == {"/text", "/more"}
        with pytest.raises(AssertionError, match="422"):
            refused.ok()
        note = (await ann.post("notes", {"text": "Fine"})).ok()
        assert (await ann.get("notes", {"text[contains]": "in", "limit": 1})).items == [note]
        assert (await ann.patch(f"notes/{note['id']}", {"text": "New"}, if_match='"1"')).ok()["version"] == 2
        assert (await ann.patch(f"notes/{note['id']}", {"text": "New"}, if_match='"1"')).status == 412
        gone = await ann.delete(f"notes/{note['id']}")
        assert (gone.status, gone.json, gone.code) == (204, None, "")


async def test_time_passes_when_it_is_told_to() -> None:
    before = app.clock
    clock = Clock(datetime(2030, 5, 1, tzinfo=UTC))
    async with Client(app, clock=clock, access_token_ttl=60.0) as client:
        ann = await client.sign_up("ann")
        assert (await ann.post("notes", {"text": "Now"})).ok()["created_at"].startswith("2030-05-01T00:00:00")
        clock.advance(seconds=40)
        assert (await ann.get("notes")).status == 200
        clock.advance(minutes=2)
        assert (await ann.get("notes")).status == 401
    assert app.clock is before


async def test_demo_data_and_the_system_context() -> None:
    async with Client(app, demo=True) as client:
        ann = await client.sign_in("ann@example.com", "a-good-long-secret")
        (note,) = (await ann.get("notes")).items
        (seen,) = await client.system.list(Note)

        assert (seen.id, seen.owner) == (note["id"], ann.id)
    async with Client(app) as client:
        assert await client.system.count(Note) == 0


async def test_an_application_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="RAMET_CHANGES_RETENTION"):
        async with Client(app, changes_retention=1.0):
            raise AssertionError("it started")
