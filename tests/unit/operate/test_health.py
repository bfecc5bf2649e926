"""Liveness and readiness: honest, bounded, discreet, and no lever for overload."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from ramet.observe import Crashed, Observer
from ramet.operate.health import Health, Part


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def part(document: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [part for part in document["parts"] if part["name"] == name]
    return dict(found)


async def test_without_parts_the_process_is_alive_and_ready() -> None:
    health = Health()
    assert health.live() == (200, {"status": "alive"})
    assert await health.ready() == (200, {"status": "ready", "parts": []})


async def test_each_part_is_listed_with_what_it_found() -> None:
    async def slow() -> Part:
        await asyncio.sleep(0)
        return Part(True, "12 connections")

    health = Health()
    health.register("database", lambda: Part(True))
    health.register("pool", slow)
    status, document = await health.ready()
    assert (status, document["status"]) == (200, "ready")
    assert [found["name"] for found in document["parts"]] == ["database", "pool"]
    assert set(part(document, "pool")) == {"name", "ok", "required", "detail", "milliseconds"}
    assert part(document, "pool")["detail"] == "12 connections"
    assert part(document, "database")["milliseconds"] >= 0
    msgspec.json.encode(document)


async def test_one_failed_part_makes_the_process_not_ready_and_says_what_to_do() -> None:
    health = Health()
    health.register("log", lambda: Part(True))
    health.register("disk", lambda: Part(False, "The disk is full: free some space."))
    status, document = await health.ready()
    assert (status, document["status"]) == (503, "not_ready")
    assert part(document, "disk")["detail"] == "The disk is full: free some space."
    assert part(document, "log")["ok"] is True
    assert health.live()[0] == 200


async def test_a_part_that_is_not_required_only_degrades() -> None:
    health = Health()
    health.register("redis", lambda: Part(False, "gone"), required=False)
    status, document = await health.ready()
    assert (status, document["status"], part(document, "redis")["ok"]) == (200, "degraded", False)


async def test_a_check_that_hangs_is_given_up() -> None:
    async def hang() -> Part:
        await asyncio.Event().wait()
        return Part(True)

    health = Health(patience=0.01)
    health.register("replica", hang)
    health.register("database", lambda: Part(True))
    status, document = await health.ready()
    assert status == 503
    assert part(document, "replica")["detail"].startswith("No answer within 0.01 s")
    assert part(document, "database")["ok"] is True


async def test_an_exception_is_reported_once_and_its_text_stays_inside() -> None:
    seen: list[Crashed] = []
    observer = Observer()
    observer.subscribe(Crashed, seen.append)

    def broken() -> Part:
        raise RuntimeError("cannot open /srv/data/ramet.db with hunter2")

    health = Health(observer, fresh=0.0)
    health.register("database", broken)
    await health.ready()
    status, document = await health.ready()
    assert status == 503
    assert "hunter2" not in str(document)
    assert "RuntimeError" not in str(document)
    assert "/srv" not in str(document)
    assert [crash.operation for crash in seen] == ["health.database"]


async def test_a_check_that_answers_nonsense_is_a_failed_check() -> None:
    nonsense: Any = None
    health = Health()
    health.register("odd", lambda: nonsense)
    assert (await health.ready())[0] == 503


async def test_details_show_neither_secrets_nor_file_names() -> None:
    health = Health()
    health.register("a", lambda: Part(False, "cannot write /srv/data/ramet.db"))
    health.register("b", lambda: Part(False, "no answer from postgres://me:hunter2@db/app"))
    text = str(await health.ready())
    assert "/srv" not in text
    assert "hunter2" not in text


async def test_while_draining_nothing_is_ready_and_nothing_is_asked() -> None:
    calls: list[int] = []

    def check() -> Part:
        calls.append(1)
        return Part(True)

    health = Health(fresh=0.0)
    health.register("a", check)
    health.drain()
    status, document = await health.ready()
    assert (status, document["status"], calls) == (503, "draining", [])
    assert health.live()[0] == 200


async def test_draining_while_parts_are_checked_wins() -> None:
    gate, asked = asyncio.Event(), asyncio.Event()

    async def check() -> Part:
        asked.set()
        await gate.wait()
        return Part(True)

    health = Health()
    health.register("a", check)
    answer = asyncio.create_task(health.ready())
    await asked.wait()
    health.drain()
    gate.set()
    assert (await answer)[0] == 503


async def test_an_answer_is_given_again_for_a_quarter_of_a_second() -> None:
    clock = Clock()
    calls: list[int] = []

    def check() -> Part:
        calls.append(1)
        return Part(len(calls) < 2)

    health = Health(clock=clock)
    health.register("a", check)
    assert (await health.ready())[0] == 200
    clock.now += 0.24
    assert (await health.ready())[0] == 200
    assert len(calls) == 1
    clock.now += 0.02
    assert (await health.ready())[0] == 503
    assert len(calls) == 2


async def test_many_who_ask_at_once_cause_one_check() -> None:
    calls: list[int] = []
    gate = asyncio.Event()

    async def check() -> Part:
        calls.append(1)
        await gate.wait()
        return Part(True)

    health = Health(fresh=0.0)
    health.register("a", check)
    askers = [asyncio.create_task(health.ready()) for _ in range(50)]
    await asyncio.sleep(0)
    askers[0].cancel()  # one who goes away takes nothing from the others
    gate.set()
    answers = await asyncio.gather(*askers[1:])
    assert {status for status, _ in answers} == {200}
    assert len(calls) == 1


def test_a_name_is_registered_once() -> None:
    health = Health()
    health.register("a", lambda: Part(True))
    with pytest.raises(ValueError, match="already"):
        health.register("a", lambda: Part(True))
