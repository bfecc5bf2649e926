"""Answers found by the words of a request are given only while everything that could change them has not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import apsw
import pytest

from ramet import App, Resource, User, owner_only, public_read, role
from ramet.testing import Caller, Client


class Note(Resource):
    text: str
    access = owner_only(also=role("admin"))
    cache = 300


class Notice(Resource):
    text: str
    access = public_read()
    cache = 300


class Draft(Resource):
    """Never kept: what is remembered of a request is only what it means."""

    text: str
    access = owner_only(also=role("admin"))


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(App(resources=[Note, Notice, Draft])) as client:
        yield client


async def warm(caller: Caller, path: str, **headers: str) -> Any:
    """Asks until the answer is one that was recalled: kept by the first, found by its words from the second on."""
    for _ in range(3):
        answer = await caller.get(path, **headers)
    assert answer.status == 200
    assert answer.headers["ramet-cache"] == "near"
    assert answer.headers["server-timing"].startswith("cache;")
    return answer


async def test_a_change_by_anybody_is_seen_at_once(client: Client) -> None:
    ann, root = await client.sign_up("ann"), await client.sign_up("root", roles=["admin"])
    note = (await ann.post("notes", {"text": "one"})).ok()
    await warm(ann, "notes")
    await warm(ann, f"notes/{note['id']}")
    (await root.patch(f"notes/{note['id']}", {"text": "two"})).ok()
    assert [found["text"] for found in (await ann.get("notes")).items] == ["two"]
    assert (await ann.get(f"notes/{note['id']}")).ok()["text"] == "two"
    await warm(ann, f"notes/{note['id']}")
    await ann.delete(f"notes/{note['id']}")
    assert (await ann.get(f"notes/{note['id']}")).status == 404
    assert (await ann.get("notes")).items == []


async def test_the_same_words_with_another_token_are_other_words(client: Client) -> None:
    ann, bob = await client.sign_up("ann"), await client.sign_up("bob")
    note = (await ann.post("notes", {"text": "ann's"})).ok()
    await warm(ann, "notes")
    await warm(ann, f"notes/{note['id']}")
    assert (await bob.get("notes")).items == []
    assert (await bob.get(f"notes/{note['id']}")).status == 404
    assert (await client.get("notes")).status == 401
    assert (await client.get("notes", authorization="Bearer nonsense")).code == "invalid_token"


async def test_a_token_that_ends_takes_its_words_with_it(client: Client) -> None:
    ann = await client.sign_up("ann")
    await warm(ann, "notes")
    await ann.post("auth/sign-out")
    assert (await ann.get("notes")).code == "session_ended"
    ann = await client.sign_in("ann@example.com")
    await warm(ann, "notes")
    client.clock.advance(hours=1)
    assert (await ann.get("notes")).code == "invalid_token"


async def test_every_answer_says_what_any_answer_says(client: Client) -> None:
    ann = await client.sign_up("ann")
    (await ann.post("notices", {"text": "word " * 200})).ok()
    for encoding in ("", "gzip", "br", "zstd"):
        first = await ann.get("notices", accept_encoding=encoding)
        again = await warm(ann, "notices", accept_encoding=encoding)
        assert again.body == first.body
        own = {"ramet-cache", "server-timing", "x-request-id", "ratelimit"}
        assert {k: v for k, v in again.headers.items() if k not in own} == {
            k: v for k, v in first.headers.items() if k not in own
        }
    assert (await ann.get("notices", if_none_match=first.headers["etag"])).status == 304


async def test_recalled_answers_count_against_the_limit() -> None:
    async with Client(App(resources=[Notice]), limits=True, limit_address="5/60") as client:
        statuses = [(await client.get("notices")).status for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3


async def test_an_answer_in_a_further_coding_counts_once() -> None:
    async with Client(App(resources=[Notice]), limits=True) as client:
        ann = await client.sign_up("ann")
        (await ann.post("notices", {"text": "word " * 200})).ok()
        await warm(client, "notices", accept_encoding="gzip")
        before = int(
            (await client.get("notices", accept_encoding="gzip")).headers["ratelimit"].split("r=")[1].split(";")[0]
        )
        other = client.app.near  # the same entry, in a coding that nobody has asked for with these words
        for entry in other._entries.values():
            entry.variants.clear()
            entry.headers.clear()
        answer = await client.get("notices", accept_encoding="gzip")
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["cache-control"].startswith("public")
        assert f"r={before - 1};" in answer.headers["ratelimit"]


async def test_what_is_not_kept_is_read_again_by_the_same_rules(client: Client) -> None:
    ann, bob = await client.sign_up("ann"), await client.sign_up("bob", roles=["admin"])
    draft = (await ann.post("drafts", {"text": "one"})).ok()
    path = f"drafts/{draft['id']}"
    for caller in (ann, bob):
        for _ in range(3):
            answer = await caller.get(path)
            assert answer.ok()["text"] == "one"
            assert answer.headers["ramet-cache"] == "bypass"
        assert answer.headers["server-timing"].startswith("execute;")
        assert "ratelimit" not in answer.headers
    (await ann.patch(path, {"text": "two"})).ok()
    assert [(await caller.get(path)).ok()["text"] for caller in (ann, bob)] == ["two", "two"]
    assert (await client.get(path)).status == 401
    await client.system.update(await client.system.get(User, bob.id), roles=[])
    assert (await bob.get(path)).code == "invalid_token"
    bob = await client.sign_in("bob@example.com")
    assert [(await bob.get(path)).status for _ in range(3)] == [404] * 3
    await ann.post("auth/sign-out")
    assert (await ann.get(path)).code == "session_ended"


async def test_what_another_program_changes_in_the_file_is_seen_and_counted(client: Client) -> None:
    """Records are kept by version: a change past Ramet must have a version of its own."""
    ann = await client.sign_up("ann")
    draft = (await ann.post("drafts", {"text": "one"})).ok()
    path = f"drafts/{draft['id']}"
    for _ in range(3):
        assert (await ann.get(path)).ok()["text"] == "one"
        assert [found["text"] for found in (await ann.get("drafts")).items] == ["one"]
    file = client.app.settings.database_url.removeprefix("sqlite:///")
    with closing(apsw.Connection(file)) as other, other:
        other.execute("UPDATE drafts SET text = 'two'")
    answer = await ann.get(path)
    assert (answer.ok()["text"], answer.ok()["version"], answer.headers["etag"]) == ("two", 2, '"2"')
    assert [found["text"] for found in (await ann.get("drafts")).items] == ["two"]
    assert (await ann.get(path, if_none_match='"1"')).status == 200


async def test_kept_records_are_those_of_their_own_caller_and_of_the_present(client: Client) -> None:
    ann, bob = await client.sign_up("ann"), await client.sign_up("bob")
    drafts = [(await ann.post("drafts", {"text": text})).ok() for text in ("one", "two")]
    for _ in range(3):
        assert [found["text"] for found in (await ann.get("drafts?sort=text")).items] == ["one", "two"]
        assert (await bob.get("drafts?sort=text")).items == []
        assert (await bob.get(f"drafts/{drafts[0]['id']}")).status == 404
        assert [list(found) for found in (await ann.get("drafts?sort=text&fields=text")).items] == [["text"]] * 2
    (await ann.patch(f"drafts/{drafts[0]['id']}", {"text": "zero"})).ok()
    await ann.delete(f"drafts/{drafts[1]['id']}")
    assert [(found["text"], found["version"]) for found in (await ann.get("drafts?sort=text")).items] == [("zero", 2)]
    assert (await ann.get(f"drafts/{drafts[1]['id']}")).status == 404


async def test_a_known_create_is_checked_counted_and_answered_like_any_other() -> None:
    async with Client(App(resources=[Draft]), limits=True, limit_caller="8/60") as client:
        ann = await client.sign_up("ann")
        first = await ann.post("drafts", {"text": "one"})
        known = await ann.post("drafts", {"text": "two"})
        assert known.headers["server-timing"].startswith("execute;")
        assert first.headers.keys() == known.headers.keys()
        assert known.headers["location"] == f"/api/v1/drafts/{known.ok()['id']}"
        assert (known.status, known.headers["etag"]) == (201, '"1"')
        wrong = await ann.post("drafts", {"text": 3, "extra": 1})
        assert (wrong.status, {fault["pointer"] for fault in wrong.json["errors"]}) == (422, {"/text", "/extra"})
        assert (
            await ann.request("POST", "/api/v1/drafts", json={"text": "x"}, headers={"content-type": "a/b"})
        ).status == 415
        remaining = [int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]) for answer in (first, known, wrong)]
        assert remaining == [7, 6, 5]
        for _ in range(4):
            await ann.post("drafts", {"text": "more"})
        assert (await ann.post("drafts", {"text": "late"})).status in (201, 429)
        assert (await ann.post("drafts", {"text": "too many"})).code == "rate_limited"


async def test_a_known_create_ends_with_its_session(client: Client) -> None:
    ann = await client.sign_up("ann")
    for _ in range(3):
        assert (await ann.post("drafts", {"text": "one"})).status == 201
    await ann.post("auth/sign-out")
    assert (await ann.post("drafts", {"text": "late"})).code == "session_ended"
    again = await client.sign_in("ann@example.com")
    assert len((await again.get("drafts")).items) == 3


async def test_a_read_that_the_pipeline_must_finish_counts_once() -> None:
    async with Client(App(resources=[Draft]), limits=True) as client:
        ann = await client.sign_up("ann")
        path = f"drafts/{(await ann.post('drafts', {'text': 'one'})).ok()['id']}"
        for _ in range(3):
            before = await ann.get(path)
        await ann.delete(path)
        gone = await ann.get(path)
        assert gone.status == 404
        left = [int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]) for answer in (before, gone)]
        assert left[0] - left[1] == 2  # the deletion and the read
