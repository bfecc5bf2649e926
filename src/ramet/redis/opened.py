"""An account of the connections that the driver has open, for it loses sight of some.

The client of a cluster closes what is in its lists of servers, and only once it knows them all. What it opened while it
was looking for them, and was interrupted or closed meanwhile, stays open for as long as the process lives.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError as NotConnected


class Opened:
    """Greets each new connection of a client for the driver (its `redis_connect_func`)."""

    def __init__(self) -> None:
        self._open: set[Any] = set()
        self._ended = False

    def watch(self, cluster: RedisCluster) -> RedisCluster:
        """Greets those of a cluster too, whose client has no parameter for it."""
        cluster.connection_kwargs["redis_connect_func"] = self.greet
        for node in cluster.nodes_manager.startup_nodes.values():  # made before that was said
            node.connection_kwargs["redis_connect_func"] = self.greet
        return cluster

    async def greet(self, connection: Any) -> None:
        """What the driver does by itself, for a connection that has just been opened. Raises what the driver raises."""
        self._open = {one for one in self._open if one.is_connected}
        self._open.add(connection)
        if self._ended:
            raise NotConnected("The client is closed.")  # the driver closes the connection for it
        await connection.on_connect()

    async def close(self) -> None:
        """Closes all that are open."""
        for connection in tuple(self._open):
            with suppress(Exception):
                await connection.disconnect(nowait=True)
        self._open = {one for one in self._open if one.is_connected}

    async def end(self) -> None:
        """Closes all, and what is opened from now on as well."""
        self._ended = True
        await self.close()
