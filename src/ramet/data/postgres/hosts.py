"""The hosts of an address: connecting to whichever is right, and what it means when one refuses."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

STAGGER = 0.3
"""Seconds after which the next host is tried as well: one that is cut off does not say so."""


def each(url: str) -> list[str]:
    """The addresses of the single hosts that an address names."""
    parts = urlsplit(url)
    account, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(netloc=f"{account}{at}{host}")) for host in hosts.split(",")]


async def connect(url: str, *, silence: float, **options: Any) -> Any:
    """The connection to the first host that takes it; the next is tried when one fails, or has not answered yet.

    `silence` is how long, in seconds, the other end may leave what is sent unconfirmed before the connection is dead.
    Raises what the driver raised last.
    """
    tasks: list[asyncio.Task[Any]] = []
    waiting = each(url)
    driver = None
    try:
        while True:
            if waiting:
                tasks.append(asyncio.create_task(asyncpg.connect(waiting.pop(0), **options)))
            running = [task for task in tasks if not task.done()]
            if running:
                await asyncio.wait(running, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and task.exception() is None:
                    tasks.remove(task)
                    driver = task.result()
                    _end_when_silent(driver, silence)
                    return driver
            if not waiting and all(task.done() for task in tasks):
                raise next(error for task in reversed(tasks) if (error := task.exception()) is not None)
    finally:
        try:
            await _give_up(tasks)
        except asyncio.CancelledError:
            if driver is not None:
                driver.terminate()
            raise


async def commits_nowhere(url: str, limit: float) -> bool | None:
    """Whether every host shows that nothing can be committed on it: it refuses, is starting, or is a replica.

    None when a host does not answer, for that shows nothing. `limit` bounds each look, in seconds.
    """
    return verdict(await asyncio.gather(*(_commits_not(host, limit) for host in each(url))))


def verdict(shown: Iterable[bool | None]) -> bool | None:
    """Whether all hold; None when that is not known."""
    found = set(shown)
    return False if False in found else None if None in found else True


def refused(error: BaseException) -> bool:
    """Whether nobody listens where a connection was tried, on any address that the host's name has."""
    if not isinstance(error, OSError):
        return False
    text = str(error)
    tried, closed = text.count("[Errno "), text.count(f"[Errno {errno.ECONNREFUSED}]")
    return isinstance(error, ConnectionRefusedError) or (tried > 0 and tried == closed)


async def _commits_not(url: str, limit: float) -> bool | None:
    driver = None
    try:
        async with asyncio.timeout(limit):
            driver = await asyncpg.connect(url, timeout=limit, target_session_attrs="any", statement_cache_size=0)
            return bool(await driver.fetchval("SELECT pg_is_in_recovery()"))
    except Exception as error:
        return True if refused(error) or isinstance(error, asyncpg.CannotConnectNowError) else None
    finally:
        if driver is not None:
            driver.terminate()


async def _give_up(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Waits for their end. Who is cancelled meanwhile is told so, and what they have opened is closed all the same."""
    for task in tasks:
        task.add_done_callback(_end)
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _end(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _end_when_silent(driver: Any, silence: float) -> None:
    """A network that drops everything gives no error: without this, statements wait for as long as they may run."""
    transport: Any = driver._transport  # the driver has no public way to its socket
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", max(1, round(silence / 2))),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", max(1, round(silence / 2))),
        ("TCP_USER_TIMEOUT", round(silence * 1000)),
    ):
        if hasattr(socket, option):  # not every system has each of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
