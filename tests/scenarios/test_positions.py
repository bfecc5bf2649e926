"""Read your own writes: whoever presents the position of a change sees it, whichever instance answers."""

from __future__ import annotations

from pathlib import Path

from ramet import Access, Resource, everyone
from ramet.changes.follower import Follower
from ramet.interfaces.rest.entry import PREFIX
from tests import instances
from tests.scenarios.core_world import Answer, World, call, person, running

A = person(1)
KEPT = {"near", "shared"}
"""Where an answer is from that nothing was read for."""
LONG = 60.0
"""Seconds for which what is kept may be served without another look at the log: longer than anybody is held up."""


class Page(Resource):
    title: str

    access = Access(read=everyone, create=everyone, update=everyone, delete=everyone)
    cache = 300


async def held(world: World) -> None:
    """Lets instances look at the log only when they are told to, and the test show positions itself."""
    instances.silent(world.app)
    for app in instances.each(world.app):
        await app.feed.stop()
        await app.feed.catch_up()


async def titles(world: World, **headers: str) -> tuple[str, list[str]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await world.ask("GET", "/pages?sort=id", A, headers=sent)
    return answer.headers["ramet-cache"], [page["title"] for page in answer.json["items"]]


async def test_a_read_with_the_position_of_a_write_sees_it_on_any_instance(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with running(path, [Page], max_staleness=LONG) as one, running(path, [Page], max_staleness=LONG) as two:
        await held(one)
        await held(two)
        expected: list[str] = []
        for number in range(20):
            writer, reader = (one, two) if number % 2 else (two, one)
            for _ in range(3):
                await titles(reader)
            answer = await writer.ask("POST", "/pages", A, {"title": str(number)})
            expected.append(str(number))
            position = answer.headers["ramet-position"]
            assert (await titles(reader, ramet_position=position))[1] == expected
            assert (await titles(writer, ramet_position=position))[1] == expected, "the writer applies its own at once"
            if isinstance(reader.app.feed, Follower):
                assert not reader.app.feed.reached(position)
                await reader.app.feed.poll()
            assert reader.app.feed.sync()
            assert reader.app.feed.reached(position)
            assert (await titles(reader, ramet_position=position))[1] == expected
            source, found = await titles(reader, ramet_position=position)
            assert source in KEPT
            assert found == expected


async def test_a_position_that_nobody_gave_out_is_answered_from_the_database(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Page], max_staleness=LONG) as world:
        made = await world.ask("POST", "/pages", A, {"title": "a"})
        incarnation, _, place = made.headers["ramet-position"].partition("-")
        for _ in range(2):
            await titles(world)
        for wrong in (f"{incarnation}-{int(place) + 1_000_000}", f"zzzzzzzz-{place}", "x", "-", f"{incarnation}-"):
            source, found = await titles(world, ramet_position=wrong)
            assert (source == "near", found) == (False, ["a"]), wrong
        for _ in range(3):
            assert await titles(world, ramet_position=f"{incarnation}-{place}") == ("near", ["a"])


async def test_a_browser_carries_the_position_of_its_last_change_as_a_cookie(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with running(path, [Page], max_staleness=LONG) as one, running(path, [Page], max_staleness=LONG) as two:
        await held(one)
        await held(two)
        signed_in = f"__Host-ramet-access={one.token(A)}"

        async def browse(world: World, method: str, cookies: str, content: bytes = b"") -> Answer:
            sent = {"host": "test", "cookie": cookies, "sec-fetch-site": "same-origin"}
            return await call(
                world.app, method, f"{PREFIX}/pages", {**sent, "content-type": "application/json"}, content
            )

        for _ in range(2):
            await browse(two, "GET", signed_in)
        changed = await browse(one, "POST", signed_in, b'{"title": "new"}')
        assert changed.status == 201
        cookie = changed.headers.get("set-cookie", "")
        if one.app.feed.exact:
            assert cookie == "", "an exact copy needs none"
        else:
            position = changed.headers["ramet-position"]
            assert cookie.startswith(f"__Host-ramet-position={position}; Path=/; Max-Age=60; Secure; HttpOnly")
            assert (await browse(two, "GET", signed_in)).json["items"] == [], "the instance does not know of it yet"
        answer = await browse(two, "GET", f"{signed_in}; {cookie.partition(';')[0]}")
        assert [page["title"] for page in answer.json["items"]] == ["new"]
