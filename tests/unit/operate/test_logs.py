"""Logs: one access line for each request, every ordinary line whole, no secret, and never a wait for the reader."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ramet.errors import SettingsError
from ramet.observe import (
    Crashed,
    HookFailed,
    Lifecycle,
    Observer,
    RequestDone,
    SessionRevoked,
    SignInFailed,
    StatementRun,
)
from ramet.operate.logs import BATCH, Logs
from ramet.settings import Settings

AT = 1_790_000_000.25  # 2026-09-21T14:13:20.250Z
Make = Callable[..., RequestDone]


class Log:
    """Logs into a real pipe, and what came out of it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.observer = Observer()
        self.opened: list[Logs] = []

    def open(self, *, bound: int = 4 * 1024 * 1024, **settings: Any) -> Logs:
        logs = Logs(Settings(**settings), fd=self.writer, clock=lambda: AT, bound=bound)
        logs.subscribe(self.observer)
        self.opened.append(logs)
        return logs

    def text(self) -> str:
        found = b""
        while True:
            try:
                piece = os.read(self.reader, 65536)
            except BlockingIOError:
                return found.decode()
            found += piece

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def close(self) -> None:
        for logs in self.opened:
            logs.close()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.close()


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        await asyncio.sleep(0)


async def test_an_access_line_says_everything_about_a_request_once(log: Log, done: Make) -> None:
    logs = log.open()
    logs.start()
    log.observer.emit(done())
    logs.stop()
    assert log.lines() == [
        {
            "time": "2026-09-21T14:13:20.250Z",
            "level": "info",
            "event": "request",
            "request_id": "4f3a9c2be1d0f7a8",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "operation": "tasks.list",
            "method": "GET",
            "path": "/api/v1/tasks",
            "status": 200,
            "seconds": 0.001234,
            "size": 2048,
            "cache": "near",
            "caller": "018f6b3e-7b1a-7c3d-9e55-1234567890ab",
            "address": "203.0.113.9",
            "code": "",
        }
    ]


async def test_requests_are_written_together_a_moment_later(log: Log, done: Make) -> None:
    logs = log.open()
    logs.start()
    for number in range(3):
        log.observer.emit(done(size=number))
    assert log.text() == ""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        found.extend(log.lines())
        return len(found) == 3

    await until(all_there)
    assert [line["size"] for line in found] == [0, 1, 2]


async def test_a_full_batch_does_not_wait_for_the_timer(log: Log, done: Make) -> None:
    logs = log.open()
    logs.start()
    for _ in range(BATCH - 1):
        log.observer.emit(done())
    assert log.text() == ""
    log.observer.emit(done())
    assert len(log.lines()) == BATCH


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/tasks?token=abc&q=private", "/api/v1/tasks"),
        ("/reset/rt_9fQx2Lr8sVtB1nK4mWcZ7yDp", "/reset/***"),
        ("/x/eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln", "/x/***"),
        ("/start_now/sort_by", "/start_now/sort_by"),
        ('/a"b\\c\n{"d', '/a"b\\c\n{"d'),
    ],
)
async def test_a_path_shows_neither_query_nor_tokens_and_breaks_no_line(
    log: Log, done: Make, path: str, shown: str
) -> None:
    log.open()
    log.observer.emit(done(path=path))
    assert [line["path"] for line in log.lines()] == [shown]


async def test_a_path_that_is_no_text_spoils_only_itself(log: Log, done: Make) -> None:
    logs = log.open()
    logs.start()
    log.observer.emit(done(path="/first"))
    log.observer.emit(done(path="/bad\udcff"))
    logs.log.info("between")
    log.observer.emit(done(path="/last"))
    logs.stop()
    lines = log.lines()
    assert [line.get("path") for line in lines] == ["/first", "/bad\\udcff", None, "/last"]
    assert lines[1]["status"] == 200


@pytest.mark.parametrize(
    ("status", "level"), [(200, "info"), (404, "info"), (499, "info"), (500, "error"), (503, "error")]
)
async def test_only_our_own_failures_are_errors(log: Log, done: Make, status: int, level: str) -> None:
    log.open()
    log.observer.emit(done(status=status, caller=None, code="x"))
    [line] = log.lines()
    assert (line["level"], line["caller"], line["code"]) == (level, None, "x")


@pytest.mark.parametrize("settings", [{"access_log": False}, {"log_level": "warning"}, {"log_level": "error"}])
async def test_without_an_access_log_nobody_listens_to_requests(log: Log, settings: dict[str, Any]) -> None:
    log.open(**settings)
    assert not log.observer.wants(RequestDone)


async def test_a_crash_is_logged_with_its_traceback_and_without_secrets(log: Log) -> None:
    log.open(log_level="error")

    def explode() -> None:
        raise ValueError("no such user: password=hunter2, rt_9fQx2Lr8sVtB1nK4mWcZ7yDp")

    try:
        explode()
    except ValueError as error:
        log.observer.emit(Crashed("tasks.create", "request-1", error))
    [line] = log.lines()
    assert (line["level"], line["event"]) == ("error", "crashed")
    assert (line["operation"], line["request_id"]) == ("tasks.create", "request-1")
    assert "Traceback" in line["exception"]
    assert "in explode" in line["exception"]
    assert "ValueError: no such user: password=***, ***" in line["exception"]
    assert "hunter2" not in str(line)
    assert "rt_9f" not in str(line)


async def test_only_slow_statements_are_logged_and_with_their_plan(log: Log) -> None:
    log.open()
    log.observer.emit(StatementRun("SELECT 1", 0.0001, 1, ""))
    log.observer.emit(StatementRun("SELECT * FROM tasks", 1.5, 7, "SCAN tasks"))
    [line] = log.lines()
    assert (line["level"], line["event"]) == ("warning", "slow statement")
    assert (line["sql"], line["seconds"], line["rows"], line["plan"]) == ("SELECT * FROM tasks", 1.5, 7, "SCAN tasks")


async def test_other_events_have_a_line_each(log: Log) -> None:
    log.open()
    log.observer.emit(Lifecycle("ready", "Serving http://127.0.0.1:8000."))
    log.observer.emit(HookFailed("send_mail", "change-9", 2, "ConnectionRefusedError"))
    log.observer.emit(SignInFailed("wrong password", "203.0.113.9"))
    log.observer.emit(SessionRevoked("session-1", "user-1", "replay"))
    log.observer.emit(SessionRevoked("session-2", "user-1", "sign_out"))
    found = [(line["level"], line["event"]) for line in log.lines()]
    assert found == [
        ("info", "ready"),
        ("warning", "hook failed"),
        ("info", "sign-in refused"),
        ("warning", "session revoked"),
        ("info", "session revoked"),
    ]


async def test_lines_below_the_level_cost_nothing_and_do_not_appear(log: Log) -> None:
    logs = log.open(log_level="warning")
    log.observer.emit(Lifecycle("ready", "Serving."))
    logs.log.info("quiet")
    logs.log.debug("quieter")
    logs.log.warning("loud")
    assert [line["event"] for line in log.lines()] == ["loud"]


async def test_any_value_makes_a_line_and_secrets_do_not(log: Log) -> None:
    logs = log.open()
    logs.log.warning(
        "odd {values}",
        password="hunter2",
        headers={"cookie": "hunter2", "host": "here"},
        url="http://me:hunter2@host/",
        big=2**80,
        surrogate="a\udcff",
        nan=float("nan"),
        binary=b"\xff",
        unknown=object,
    )
    logs.log.info("plain", n=float("inf"), note="line\nline")
    odd, plain = log.lines()
    assert "hunter2" not in str(odd)
    assert odd["event"] == "odd {values}"
    assert odd["big"] == str(2**80)
    assert "here" in str(odd["headers"])
    assert (plain["n"], plain["note"]) == (None, "line\nline")


async def test_threads_may_log_and_no_line_is_lost_or_doubled(log: Log, done: Make) -> None:
    logs = log.open()
    logs.start()

    def talk(name: str) -> None:
        for number in range(50):
            logs.log.info("said", by=name, number=number)

    threads = [threading.Thread(target=talk, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for number in range(50):
        log.observer.emit(done(operation="loop", size=number))
        await asyncio.sleep(0)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    logs.stop()
    lines = log.lines()
    assert [line["size"] for line in lines if line["event"] == "request"] == list(range(50))
    for name in "abc":
        assert [line["number"] for line in lines if line.get("by") == name] == list(range(50))
    assert len(lines) == 200


async def test_before_start_and_after_stop_lines_are_written_at_once(log: Log, done: Make) -> None:
    logs = log.open()
    logs.log.info("before")
    assert [line["event"] for line in log.lines()] == ["before"]
    logs.start()
    logs.stop()
    log.observer.emit(done())
    logs.log.info("after")
    assert [line["event"] for line in log.lines()] == ["request", "after"]


def test_a_loop_that_closed_without_a_stop_takes_no_line_with_it(log: Log, done: Make) -> None:
    logs = log.open()

    async def serve() -> None:
        logs.start()

    asyncio.run(serve())
    logs.log.info("after")
    log.observer.emit(done())
    logs.stop()
    assert [line["event"] for line in log.lines()] == ["after", "request"]


async def test_a_reader_that_stops_costs_lines_and_no_time(log: Log, done: Make) -> None:
    logs = log.open(bound=100_000)
    logs.start()
    event = done(path="/" + "x" * 100)
    for _ in range(5 * BATCH):  # a pipe takes 64 KiB; every call returns though nobody reads
        log.observer.emit(event)
    assert logs.dropped > 0
    assert 0 < logs.waiting <= 100_000
    text = ""

    def told() -> bool:  # reading again frees the pipe, and the timer goes on by itself
        nonlocal text
        text += log.text()
        return "log lines dropped" in text

    await until(told)
    found = [json.loads(line) for line in text.splitlines()]
    [notice] = [line for line in found if line["event"] == "log lines dropped"]
    assert notice["dropped"] == logs.dropped
    assert notice["level"] == "warning"
    assert len(found) - 1 + logs.dropped == 5 * BATCH
    assert logs.waiting == 0


async def test_lines_of_libraries_come_too_while_started(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of the test runner do not bear the wrong format
    logs = log.open()
    library = logging.getLogger("some.library")
    logs.start()
    library.warning("about %s", "this")
    library.error("wrong %d", "format")
    try:
        raise KeyError("k")
    except KeyError:
        library.exception("failed")
    library.debug("too quiet")
    logs.stop()
    library.warning("later")
    lines = log.lines()
    assert [(line["level"], line["event"], line["logger"]) for line in lines] == [
        ("warning", "about this", "some.library"),
        ("error", "wrong %d", "some.library"),
        ("error", "failed", "some.library"),
    ]
    assert "KeyError" in lines[2]["exception"]


async def test_text_is_for_people_and_cannot_steer_their_terminal(log: Log, done: Make) -> None:
    logs = log.open(log_format="text")
    log.observer.emit(done(path="/a\x1b[2J\nforged", status=404, code="not_found"))
    logs.log.warning("bad\x1b[2J\nnews", token="hunter2", note="a\rb")
    try:
        raise ValueError("inner")
    except ValueError as error:
        log.observer.emit(Crashed("tasks.list", "r", error))
    text = log.text()
    first, second, *rest = text.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d\.250 404 GET    /a\\x1b\[2J\\nforged 1\.2 ms 2048 B near not_found", first)
    assert "bad\\x1b[2J\\nnews" in second
    assert "hunter2" not in text
    assert "\x1b" not in text
    assert "\r" not in text
    assert "ValueError: inner" in rest


async def test_a_terminal_gets_colours(done: Make) -> None:
    main, terminal = pty.openpty()
    observer = Observer()
    logs = Logs(Settings(log_format="text"), fd=terminal, clock=lambda: AT)
    logs.subscribe(observer)
    observer.emit(done(status=500))
    assert b"\x1b[31m500\x1b[0m" in os.read(main, 1000)
    logs.close()
    os.close(terminal)
    os.close(main)


@pytest.mark.parametrize(
    ("setting", "name"), [({"log_level": "loud"}, "LOG_LEVEL"), ({"log_format": "xml"}, "LOG_FORMAT")]
)
def test_a_wrong_setting_is_refused_by_name(setting: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Logs(Settings(**setting))
