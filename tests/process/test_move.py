"""`ramet move`: everything goes along, proved; it goes on where it was killed; and what is not ready is refused."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec
import psycopg
import pytest

from ramet.data.engines import engine_part
from tests.conftest import Scale
from tests.postgres import Server
from tests.process.client import Answer, Client, connected, until
from tests.process.commands import Done, ramet
from tests.process.harness import RAMET, Running, ramet_serve, running
from tests.process.people import AUTH, SignIn, register, sign_in

APP = str(Path(__file__).parent / "apps" / "furniture.py")
PIECES = "/api/v1/pieces"
READS = (
    f"{PIECES}?sort=title&limit=100",
    f"{PIECES}?q=uber&fields=title",
    f"{PIECES}?price[gt]=0.10&sort=-price&count=exact",
    f"{PIECES}?made_on[lt]=1900-01-01&expand=room",
    "/api/v1/rooms?expand=best",
    "/api/v1/notes?sort=text",
)
ODD: tuple[dict[str, Any], ...] = (
    {"title": "plain"},
    {
        "title": "Über-Stuhl \U0001fa91 \u202e\u0130\ufb01\tx",
        "tags": ["", "a,b", '"', "\U0001fa91"],
        "maker": "a@example.org",
    },
    {
        "title": "zero",
        "weight": -0.0,
        "price": "0.00",
        "data": {"b": 1.0, "a": [1e300, 12345678901234567890, None, ""]},
    },
    {"title": "large", "weight": 1.7976931348623157e308, "price": "9999999999.99", "number": 2**53, "data": "text"},
    {"title": "small", "weight": 5e-324, "price": "-0.01", "number": -(2**53), "sold": True, "state": "used"},
    {
        "title": "early",
        "made_on": "0001-01-02",
        "seen_at": "0001-01-02T00:00:00.000001Z",
        "page": "https://a.example/?q=%20",
    },
    {"title": "late", "made_on": "9999-12-30", "seen_at": "9999-12-29T23:59:59.999999+00:00", "data": []},
)


SLOWLY = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
CREATE TRIGGER wait BEFORE INSERT ON pieces FOR EACH STATEMENT EXECUTE FUNCTION wait();
"""
"""Each part that is copied takes a moment, so that a move does not end while somebody looks how far it is."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    try:
        found.create()
        found.start()
        yield found
    finally:
        found.remove()


@pytest.fixture
def target(server: Server, tmp_path: Path) -> str:
    """The address of a database that has the schema and nothing in it."""
    name = f"t{abs(hash(tmp_path))}"
    server.sql(f"CREATE DATABASE {name}")
    done = ramet(tmp_path, "migrate", "apply", "--app", APP, "--database", server.url(name))
    assert done.code == 0, done.err
    return server.url(name)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """The address of a new file, as nobody has served it yet."""
    url = f"sqlite:///{tmp_path / 'furniture.db'}"
    done = ramet(tmp_path, "load", "rooms", "-", "--format", "jsonl", "--app", APP, "--database", url)
    assert done.code == 0, done.err
    return url


def move(folder: Path, source: str, target: str, *more: str) -> Done:
    return ramet(folder, "move", "--from", source, "--to", target, "--app", APP, *more)


def sql(source: str, text: str) -> list[Any]:
    connection = apsw.Connection(source.removeprefix("sqlite:///"))
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def serve(folder: Path, url: str) -> Any:
    return ramet_serve(folder, app=APP, database_url=url)


def fill(source: str, rows: int) -> None:
    """So many pieces that nobody owns."""
    sql(
        source,
        "INSERT INTO pieces (id, created_at, updated_at, version, title, number, weight, price, sold, state, tags)"
        " SELECT printf('%032x', n), '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z', 1, 'piece ' || n, n,"
        " n / 3.0, n, n % 2, 'new', '[]' FROM (WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c"
        f" WHERE n < {rows}) SELECT n FROM c)",
    )


async def ask(client: Client, path: str, access: str) -> Answer:
    return await client.ask("GET", path, headers={"authorization": f"Bearer {access}"})


class Before(NamedTuple):
    """What was there before a move: a session, one that was ended, its room, a position, and what `READS` gave."""

    ann: SignIn
    ended: SignIn
    email: str
    room: str
    deleted: str
    position: str
    bodies: list[bytes]


async def noted(client: Client, access: str, number: int) -> None:
    """Waits until the hook has left so many notes."""

    async def done() -> bool:
        return len((await ask(client, "/api/v1/notes?limit=100", access)).json()["items"]) == number

    await until(done)


async def lived_in(client: Client) -> Before:
    """Makes what is to be moved."""
    email = await register(client, "ann")
    ann, ended = await sign_in(client, email), await sign_in(client, email)
    room = (await client.ask("POST", "/api/v1/rooms", {"name": "Hall"}, ann.headers)).json()["id"]
    made: list[str] = []
    for fields in ODD:
        beside = {"beside": made[-1]} if made else {}
        answer = await client.ask("POST", PIECES, {**fields, **beside, "room": room}, ann.headers)
        assert answer.status == 201, answer
        made.append(answer.json()["id"])
    # The older of the two refers to the younger, and the room to a piece that is in it.
    changes = ((f"{PIECES}/{made[0]}", {"beside": made[-1]}), (f"/api/v1/rooms/{room}", {"best": made[2]}))
    for path, change in changes:
        assert (await client.ask("PATCH", path, change, ann.headers)).status == 200
    gone = await client.ask("DELETE", f"{PIECES}/{made[1]}", None, ann.headers)
    out = await client.ask("POST", f"{AUTH}/sign-out", {}, ended.headers)
    assert (gone.status, out.status) == (204, 204)
    await noted(client, ann.access, len(ODD))
    bodies = [(await ask(client, path, ann.access)).body for path in READS]
    return Before(ann, ended, email, room, made[1], gone.header("ramet-position"), bodies)


async def test_everything_is_moved_and_goes_on(server: Server, source: str, target: str, tmp_path: Path) -> None:
    with serve(tmp_path, source) as process:
        async with connected(await asyncio.to_thread(process.port)) as (client,):
            before = await lived_in(client)
        process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.ends) == 0
    (rows, head) = sql(source, "SELECT count(*), max(seq) FROM ramet_changes")[0]

    done = move(tmp_path, source, target)
    assert (done.code, done.err) == (0, "")
    told = {line.split()[0]: line.split()[1] for line in done.out.splitlines()[:-1]}
    assert (told["pieces"], told["ramet_changes"]) == (str(len(ODD) - 1), str(rows))
    assert "counts and checksums agree" in done.out

    access, bearer = before.ann.access, before.ann.headers
    with serve(tmp_path, target) as process:
        async with connected(await asyncio.to_thread(process.port)) as (client,):
            assert [(await ask(client, path, access)).body for path in READS] == before.bodies
            late = await client.ask("GET", READS[0], headers={**bearer, "ramet-position": before.position})
            assert late.body == before.bodies[0]
            assert (await ask(client, READS[0], before.ended.access)).json()["code"] == "session_ended"
            assert (await sign_in(client, before.email)).session != before.ann.session
            fresh = await client.ask("POST", f"{AUTH}/refresh", {"refresh_token": before.ann.refresh})
            assert fresh.status == 200, fresh
            wrong = await client.ask("POST", PIECES, {"title": "plain"}, bearer)
            missing = await client.ask("POST", PIECES, {"title": "x", "room": before.deleted}, bearer)
            assert (wrong.json()["code"], missing.json()["code"]) == ("not_unique", "invalid_input")
            answer = await client.ask("POST", PIECES, {"title": "new", "room": before.room}, bearer)
            assert answer.status == 201, answer
            await noted(client, access, len(ODD) + 1)
    database = target.rpartition("/")[2]
    newer = f"SELECT min(seq) FROM ramet_changes WHERE at > (SELECT at FROM ramet_changes WHERE seq = {head})"
    assert int(server.sql(newer, database)) == head + 1
    with pytest.raises(Exception, match="fk_pieces_room"):
        server.sql("DELETE FROM rooms", database)


async def test_hooks_go_on_after_the_change_that_they_had_come_to(source: str, target: str, tmp_path: Path) -> None:
    titles = [f"t{number}" for number in range(6)]
    lines = "\n".join(msgspec.json.encode({"title": title}).decode() for title in titles)
    done = ramet(tmp_path, "load", "pieces", "-", "--format", "jsonl", "--app", APP, "--database", source, given=lines)
    assert done.code == 0, done.err
    sql(source, "DELETE FROM notes")
    (place,) = sql(source, "SELECT seq FROM ramet_changes WHERE resource = 'Piece' ORDER BY seq LIMIT 1 OFFSET 3")[0]
    sql(source, f"REPLACE INTO ramet_followers (name, position) VALUES ('hooks', '{place}')")
    assert move(tmp_path, source, target).code == 0

    def notes() -> list[str]:
        dumped = ramet(tmp_path, "dump", "notes", "--app", APP, "--database", target)
        assert dumped.code == 0, dumped
        return sorted(msgspec.json.decode(line)["text"] for line in dumped.out.splitlines())

    with serve(tmp_path, target) as process:
        await asyncio.to_thread(process.port)

        async def done_with_all() -> bool:
            return len(await asyncio.to_thread(notes)) >= 2

        await until(done_with_all)
    assert notes() == titles[4:]


@pytest.mark.soak
async def test_a_move_that_is_killed_goes_on_and_comes_to_the_same(
    server: Server, source: str, target: str, tmp_path: Path, scale: Scale
) -> None:
    kills = scale(short=2, full=40)
    fill(source, scale(short=30_000, full=400_000))
    database = target.rpartition("/")[2]
    name = f"{database}_whole"
    server.sql(f"CREATE DATABASE {name}")
    assert ramet(tmp_path, "migrate", "apply", "--app", APP, "--database", server.url(name)).code == 0
    whole = move(tmp_path, source, server.url(name))
    assert whole.code == 0, whole.err

    def copied() -> int:
        found = server.sql("SELECT value::json->'rows'->>'pieces' FROM ramet_facts WHERE name = 'move'", database)
        return int(found or 0)

    command = [RAMET, "move", "--from", source, "--to", target, "--app", APP]
    server.sql(SLOWLY, database)
    stopped = []
    for _ in range(kills):
        before = copied()
        with running(command, tmp_path) as process:

            async def further(process: Running = process, before: int = before) -> bool:
                ended: int | None = process.process.poll()
                return ended is not None or await asyncio.to_thread(copied) > before

            await until(further)
            process.signal(signal.SIGKILL)
            assert await asyncio.to_thread(process.ends) == -signal.SIGKILL, process.text
        stopped.append(copied())
    assert stopped == sorted(set(stopped)), "each has gone on where the one before was killed"
    server.sql("DROP FUNCTION wait CASCADE", database)
    refused = ramet(tmp_path, "dump", "rooms", "--app", APP, "--database", target)
    assert (refused.code, "A move into this database is not finished." in refused.err) == (1, True)
    with serve(tmp_path, target) as waiting:
        async with connected(await asyncio.to_thread(waiting.port)) as (client,):
            ready = await client.ask("GET", "/health/ready")
            assert (ready.status, "Run `ramet move` again." in ready.body.decode()) == (503, True)
    done = move(tmp_path, source, target)
    assert (done.code, done.out) == (0, whole.out)


def test_what_a_killed_move_has_left_at_the_server_is_waited_for(
    server: Server, source: str, target: str, tmp_path: Path
) -> None:
    with closing(psycopg.connect(target, autocommit=True)) as left:
        left.execute(f"SELECT pg_advisory_lock({engine_part(target, 'dbapi').LOCK})")
        with running([RAMET, "move", "--from", source, "--to", target, "--app", APP], tmp_path) as process:
            waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_try_advisory_lock%%' AND pid <> %s"
            while left.execute(waits, (left.info.backend_pid,)).fetchone() != (1,):
                assert process.process.poll() is None, process.text
                time.sleep(0.02)  # waits: for the move to ask for the lock, or to end
            left.close()
            assert process.ends() == 0, process.text


def test_what_is_not_ready_is_refused_with_what_to_do(server: Server, source: str, target: str, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        done = move(tmp_path, *arguments)
        assert (done.code, done.out) == (1, ""), done
        return done.err

    assert "--from sqlite:///… --to postgresql://…" in refused(target, source)
    assert "--from sqlite:///… --to postgresql://…" in refused(source, source)
    assert "There is no file" in refused(f"{source}x", target)
    assert "expected sqlite:///FILE" in refused("mysql://a/b", target)
    server.sql(f"CREATE DATABASE {target.rpartition('/')[2]}_bare")
    assert "Run `ramet migrate apply --database URL`" in refused(source, f"{target}_bare")
    assert "The target cannot be opened" in refused(source, target.replace(f":{server.port}/", ":1/"))
    sql(source, "UPDATE ramet_facts SET value = 'other' WHERE name = 'schema'")
    assert "does not have the declared schema" in refused(source, target)


async def test_a_source_in_use_is_refused(source: str, target: str, tmp_path: Path) -> None:
    with serve(tmp_path, source) as process:
        await asyncio.to_thread(process.port)
        done = await asyncio.to_thread(move, tmp_path, source, target)
    assert (done.code, "A server is running on furniture.db. Stop it" in done.err) == (1, True)
    connection = apsw.Connection(source.removeprefix("sqlite:///"))
    connection.execute("BEGIN IMMEDIATE")
    done = await asyncio.to_thread(move, tmp_path, source, target)
    assert (done.code, "Another process is writing to furniture.db. Stop it" in done.err) == (1, True)
    connection.close()
    assert move(tmp_path, source, target).code == 0


def test_a_source_that_has_changed_since_is_moved_anew_on_demand(
    server: Server, source: str, target: str, tmp_path: Path
) -> None:
    fill(source, 10)
    sql(source, "UPDATE pieces SET title = 'a' || char(0) || 'b' WHERE number = 10")
    nul = move(tmp_path, source, target)
    assert (nul.code, "pieces: a value cannot be stored there" in nul.err) == (1, True)
    sql(source, "UPDATE pieces SET title = 'ab' WHERE number = 10")
    ramet(
        tmp_path, "load", "rooms", "-", "--format", "jsonl", "--app", APP, "--database", source, given='{"name": "H"}\n'
    )
    changed = move(tmp_path, source, target)
    assert (changed.code, "--again" in changed.err) == (1, True)
    done = move(tmp_path, source, target, "--again")
    assert done.code == 0, done.err
    filled = move(tmp_path, source, target)
    assert (filled.code, "The target has rows in" in filled.err) == (1, True)


def test_a_target_that_differs_is_found(server: Server, source: str, target: str, tmp_path: Path) -> None:
    """A value that is lost on its way, here by a trigger, is a checksum that differs."""
    fill(source, 10)
    database = target.rpartition("/")[2]
    server.sql(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF new.number = 7 THEN new.weight = 0; END IF; RETURN new; END$$;"
        " CREATE TRIGGER spoil BEFORE INSERT ON pieces FOR EACH ROW EXECUTE FUNCTION spoil()",
        database,
    )
    done = move(tmp_path, source, target)
    assert (done.code, "pieces: the source has 10 rows with the checksum" in done.err) == (1, True)
    assert server.sql("SELECT count(*) FROM ramet_facts WHERE name = 'move'", database) == "1"
