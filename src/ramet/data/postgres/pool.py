"""Connections to one address, kept open and lent to one user at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ramet.data.postgres.connection import SILENCE, Link, open_link
from ramet.data.postgres.failures import as_problem, lost
from ramet.data.store import Rows
from ramet.errors import Problem

OPENING = 3
"""Connections that are opened at one time: a crowd at a new process does better to wait for the first of them."""
AGAIN = 1.0
"""Seconds within which a connection that has died since it was last used shows it."""


class Pool:
    """At most `size` connections. `limit` bounds a statement, `wait` a wait, in seconds; `opened` hears of new ones.

    When a connection turns out to be dead, all that were opened before are left: they most likely led to the same
    server, which stopped or is no primary any more. While none can be opened, one request at a time tries; the others
    are told at once. `silence` is as for a connection.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int,
        wait: float,
        limit: float,
        opened: Callable[[Link], None],
        silence: float = SILENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._size = size
        self._wait = wait
        self._limit = limit
        self._opened = opened
        self._silence = silence
        self._clock = clock
        self._failing = False
        self._trying = 0
        self._lent: set[Link] = set()
        self._idle: deque[Link] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._count = 0
        self._epoch = 0
        self.pooled: bool | None = None
        """Whether there is a pooler in front of the server, as far as that is known."""
        self._closed = False

    async def take(self) -> Link:
        """A connection, until `give` or `failed`. Raises Problem when none is free in time, or the server is away."""
        while True:
            while self._idle:
                link = self._idle.pop()
                if link.epoch == self._epoch and not link.driver.is_closed():
                    self._lent.add(link)
                    return link
                self._end(link)
            if self._closed:
                raise Problem("unavailable", "The server is stopping.", retry_after=1)
            if self._count < self._size and self._trying < (1 if self._failing else OPENING):
                return await self._open()
            if self._failing and not self._lent:
                raise _silent()
            await self._free()

    @property
    def idle(self) -> bool:
        """Whether there is a connection that nobody uses or waits for."""
        return bool(self._idle) and not self._waiters

    async def warm(self, count: int) -> None:
        """Has so many connections ready, if they can be opened."""
        links: list[Link] = []

        async def hold() -> None:
            links.append(await self.take())

        try:
            await asyncio.gather(*(hold() for _ in range(min(count, self._size))), return_exceptions=True)
        finally:
            for link in links:
                self.give(link)

    def give(self, link: Link) -> None:
        """Takes a connection back on which nothing is open."""
        if self._closed or link.epoch != self._epoch:
            self._end(link)
            return
        self._lent.discard(link)
        self._idle.append(link)
        self._wake()

    def failed(self, link: Link, error: BaseException) -> bool:
        """Takes a connection back whose statement raised outside a transaction; whether that was because it is dead."""
        if lost(error):
            if link.epoch == self._epoch:
                self._epoch += 1
            self._end(link)
            return True
        if isinstance(error, Exception) and not isinstance(error, TimeoutError):
            self.give(link)
        else:
            self._end(link)
        return False

    def may_repeat(self, link: Link, error: BaseException, began: float) -> bool:
        """As `failed`, and whether to try anew: only for a connection that was found dead at once.

        Who has waited for the silence to end has waited long enough.
        """
        return self.failed(link, error) and self._clock() - began < AGAIN

    def heard(self) -> None:
        """The server answers elsewhere: connections can be opened again."""
        self._failing = False

    def drop(self) -> None:
        """Ends every connection, also those in use: whoever waits for an answer on one hears that it is dead."""
        self._epoch += 1
        for link in self._lent:
            link.driver.terminate()

    async def read(self, sql: str, arguments: tuple[Any, ...], *, again: bool = True) -> Rows:
        """The rows of one statement that only reads; with `again` run anew if its connection turns out to be dead."""
        tried = not again
        while True:
            link, began = await self.take(), self._clock()
            try:
                rows: Rows = await link.driver.fetch(sql, *arguments)
            except BaseException as error:
                if self.may_repeat(link, error, began) and not tried:
                    tried = True
                    continue
                problem = as_problem(error) if isinstance(error, Exception) else error
                if problem is error:
                    raise
                raise problem from error
            self.give(link)
            return rows

    async def close(self) -> None:
        """Closes what is idle; what is lent is closed when it comes back."""
        self._closed = True
        while self._idle:
            link = self._idle.pop()
            self._count -= 1
            try:
                await link.driver.close(timeout=1.0)
            except Exception:
                link.driver.terminate()
        while self._waiters:
            self._wake()

    async def _open(self) -> Link:
        self._count += 1
        self._trying += 1
        try:
            link = await open_link(
                self._url, timeout=self._wait, limit=self._limit, silence=self._silence, pooled=self.pooled
            )
            self._failing = False
        except BaseException as error:
            self._count -= 1
            self._wake()
            if isinstance(error, Exception):
                self._failing = True
                for _ in range(len(self._waiters)):  # they are told as well
                    self._wake()
                raise _silent() from error
            raise
        finally:
            self._trying -= 1
        link.epoch = self._epoch
        self.pooled = link.pooled
        self._opened(link)
        self._lent.add(link)
        if self._count < self._size:
            self._wake()  # the next may be opened
        return link

    async def _free(self) -> None:
        """Waits until a connection may be had."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        came = False
        try:
            async with asyncio.timeout(self._wait):
                await waiter
            came = True
        except TimeoutError:
            if not self._lent and not self._idle:
                raise _silent() from None
            raise Problem("overloaded", "Every connection to the database is in use.", retry_after=1) from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not came:
                self._wake()  # who was called and does not come leaves the connection to the next

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _end(self, link: Link) -> None:
        self._count -= 1
        self._lent.discard(link)
        link.driver.terminate()
        self._wake()


def _silent() -> Problem:
    return Problem("unavailable", "The database does not answer.", retry_after=1)
