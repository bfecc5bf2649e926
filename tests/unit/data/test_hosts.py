"""Connecting to one of several hosts, and giving it up."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from ramet.data.engines import engine_part
from tests import databases
from tests.interrupted import interrupted, sockets
from tests.process.copies import until

MOST = 200

hosts: Any = engine_part("postgresql://h/d", "hosts")


async def test_who_is_cancelled_at_whatever_moment_hears_of_it_and_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also while the other hosts are given up, when one has answered already."""
    monkeypatch.setattr(hosts, "STAGGER", 0.0)
    given = urlsplit(databases.server().url("postgres"))
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(MOST)
        before = sockets()
        silent = given.netloc.rpartition("@")[0] + f"@127.0.0.1:{mute.getsockname()[1]}"
        url = given._replace(netloc=f"{silent},{given.netloc.rpartition('@')[2]}").geturl()
        for moment in range(1, MOST):
            task = asyncio.ensure_future(interrupted(hosts.connect(url, silence=5.0, timeout=60), moment))
            await asyncio.wait([task])
            if not task.cancelled():
                assert task.cancelling() == 0, "it was cancelled, and went on"
                task.result().terminate()
            await until(lambda: sockets() <= before)  # the driver closes in tasks of its own
            if not task.cancelled():
                break
        assert 2 < moment < MOST - 1
