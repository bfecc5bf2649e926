"""Waking the followers of other instances through Redis. A hint that is lost costs the time until the next poll."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress

from ramet.redis.connection import Connection, Unreachable


class RedisHints:
    """Hints on one channel, which all instances on one log have in common."""

    def __init__(self, connection: Connection, incarnation: str) -> None:
        self._connection = connection
        self._channel = f"ramet:hints:{incarnation}"
        self._self = secrets.token_bytes(8)

    @property
    def available(self) -> bool:
        return self._connection.available

    async def hint(self) -> None:
        """Wakes the others. Never raises."""
        with suppress(Unreachable):
            await self._connection.publish(self._channel, self._self)

    def listen(self, wake: Callable[[], None]) -> None:
        """Calls `wake` whenever another instance hints."""

        def told(sender: bytes) -> None:
            if sender != self._self:
                wake()

        self._connection.subscribe(self._channel, told)
