"""What cannot be opened yet is tried again, and a WebSocket over ASGI is refused. Over RSGI it is a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ramet.errors import Problem, Unready
from ramet.interfaces.pages.waiting import Waiting


async def unready() -> None:
    raise Unready("no")


async def test_a_websocket_is_refused_until_the_application_is_open() -> None:
    waiting = Waiting(unready)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await waiting.asgi({}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_only_a_database_that_is_away_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    raised = [Problem("unavailable", "The database does not answer.", retry_after=1)]

    async def open_() -> None:
        if raised:
            raise raised[0]

    waiting = Waiting(open_)
    assert not await waiting.start()
    assert "does not answer. Look at RAMET_DATABASE_URL" in capsys.readouterr().err
    await waiting.stop()
    raised[:] = [Problem("storage_full")]
    with pytest.raises(Problem, match="storage_full"):
        await waiting.start()
    raised.clear()
    assert await waiting.start()


async def test_a_stop_ends_a_try_that_fails_as_it_is_given_up() -> None:
    tries: list[int] = []

    async def open_() -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise Unready("no")
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("it cannot be closed")

    waiting = Waiting(open_)
    assert not await waiting.start()
    async with asyncio.timeout(60):
        while len(tries) < 2:  # noqa: ASYNC110 - tries are not told of
            await asyncio.sleep(0.01)  # waits: for the second
        await waiting.stop()
    assert len(tries) == 2
