"""The way to Redis: bounded in time and connections, and given up for a while when it does not answer.

Nothing that Redis does or fails to do may keep a request waiting for longer than one time-out. After two failures in a
row it counts as gone: every call then fails at once, until a prober has had an answer again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from ramet.errors import SettingsError
from ramet.observe import Lifecycle, Observer
from ramet.redis.opened import Opened

T = TypeVar("T")
CLUSTERS = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
SCHEMES = ("redis", "rediss", "unix", *CLUSTERS)
FAILURES = 2
"""Failures in a row after which it counts as gone."""
BESIDE = 4
"""Connections to each server of a cluster for what is no call: looks at the servers, probes and subscriptions."""
PROBE_PAUSE = 0.5
PROBE_TIMEOUT = 1.0
"""Seconds between two probes of what is gone, and that one may take: no request waits for it."""
PROBE = """
redis.call('TIME')
redis.call('SET', KEYS[1], '', 'PX', 1000)
redis.call('GET', KEYS[1])
redis.call('HINCRBY', KEYS[2], '1', 1)
redis.call('HGET', KEYS[2], '1')
redis.call('HGETALL', KEYS[2])
redis.call('HDEL', KEYS[2], '2')
redis.call('PEXPIRE', KEYS[2], 1000)
return redis.call('PUBLISH', KEYS[1], '')
"""
"""All that is ever asked: a server that does a part of it is of no use, and would be left out again and again."""
PROBED = (b"ramet:{probe}", b"ramet:{probe}:count")
UNWRITABLE = ("MISCONF", "NOREPLICAS")
"""How a server begins to say that it takes no writes, where the driver has no error for it."""
SILENCE = 15.0
"""Seconds of silence on a subscription after which its connection is looked at."""


class Unreachable(Exception):
    """Redis did not do what it was asked: it is gone, too slow, or refuses."""


class Connection:
    """One process's way. It tells whether it answers by the event Lifecycle.

    `url` is redis://, rediss:// or unix://, or redis+cluster:// for a cluster; `timeout` is that of one call.

    Raises SettingsError for a URL of another kind.
    """

    failure = Unreachable

    def __init__(self, url: str, observer: Observer, *, timeout: float, connections: int) -> None:
        self._observer = observer
        self._timeout = timeout
        self._opened = Opened()
        self._client: Any = _client(url, timeout, connections, self._opened)
        self._clustered = isinstance(self._client, RedisCluster)
        # The driver makes callers wait for a connection, but those of a cluster it refuses.
        self._turns: AbstractAsyncContextManager[Any] = (
            asyncio.Semaphore(connections) if self._clustered else nullcontext()
        )
        self._failures = 0
        self._gone = asyncio.Event()
        self._gone.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed = 0
        self.trouble = "It has not answered yet."

    @property
    def available(self) -> bool:
        """Whether calls are made at all."""
        return not self._gone.is_set()

    async def start(self) -> None:
        """Looks whether it answers, in a bounded time; if not, goes on looking."""
        with suppress(Unreachable):
            await self._probe()
        self._spawn(self._watch(), "watch redis")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._gone.set()
        with suppress(Exception):
            await self._client.aclose()
        await self._opened.end()

    async def get(self, key: bytes) -> bytes | None:
        """The value of a key. Raises Unreachable."""
        return await self._call(self._client.get(key))

    async def put(self, key: bytes, value: bytes, seconds: float) -> None:
        """Keeps a value for a time. Raises Unreachable."""
        await self._call(self._client.set(key, value, px=max(1, int(seconds * 1000))))

    async def run(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """What a script of Lua returns, which runs as one step. Raises Unreachable.

        The keys of one call must have one hash tag, for clusters.
        """
        return await self._call(self._run(script, keys, arguments))

    async def publish(self, channel: str, message: bytes) -> None:
        """Tells all who subscribe. Raises Unreachable."""
        await self._call(self._client.publish(channel, message))

    def subscribe(self, channel: str, told: Callable[[bytes], None]) -> None:
        """Calls `told` with each message from now on, for as long as Redis is there. What it misses is lost."""
        self._spawn(self._listen(channel, told), f"listen to {channel}")

    async def _run(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        try:
            return await self._client.evalsha(_digest(script), len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._client.eval(script, len(keys), *keys, *arguments)

    async def _call(self, answer: Awaitable[T]) -> T:
        if self._gone.is_set():
            _forget(answer)
            raise Unreachable("It is gone.")
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                found = await answer
        # The driver has errors that are not of its own base class: a cluster of which no server answers is one.
        except Exception as error:
            self._fail(error)
            raise Unreachable(_sentence(error)) from error
        finally:
            _forget(answer)  # it was not begun if there was no turn
        self._failures = 0
        return found

    def _fail(self, error: Exception) -> None:
        self.failed += 1
        # What is no error of a server is one of the map of a cluster, which is made anew only when it is gone. One that
        # takes no writes goes on to answer reads between them.
        self._failures += 1 if isinstance(error, RedisError | OSError) and not _unwritable(error) else FAILURES
        if self._failures >= FAILURES and not self._gone.is_set():
            self._gone.set()
            self.trouble = f"It {_fault(error)} ({_sentence(error)})."
            self._observer.emit(Lifecycle("redis", f"{_fault(error)}, and is left out: {_sentence(error)}"))

    async def _watch(self) -> None:
        while True:
            await self._gone.wait()
            await asyncio.sleep(PROBE_PAUSE)
            with suppress(Exception):
                await self._leave()
                await self._probe()

    async def _leave(self) -> None:
        """Closes what leads to the servers there were."""
        async with asyncio.timeout(PROBE_TIMEOUT):
            if self._clustered:  # it would not look by itself who serves what it has found nobody for
                await self._client.aclose()
                await self._opened.close()
            else:  # the name may stand for another server by now
                await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _probe(self) -> None:
        """Writes by a script: one that allows only a part of that, a replica or one that is full, is of no use."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._run(PROBE, PROBED, ())
        except Exception as error:
            self.trouble = f"It {_fault(error)} ({_sentence(error)})."
            raise Unreachable(_sentence(error)) from error
        self._failures = 0
        self._gone.clear()
        self.trouble = ""
        self._observer.emit(Lifecycle("redis", "answers, and is used"))

    async def _listen(self, channel: str, told: Callable[[bytes], None]) -> None:
        while True:
            with suppress(Exception):
                pubsub = self._client.pubsub(ignore_subscribe_messages=True)
                try:
                    async with asyncio.timeout(PROBE_TIMEOUT):
                        await pubsub.subscribe(channel)
                    await self._hear(pubsub, told)
                finally:
                    async with asyncio.timeout(PROBE_TIMEOUT):
                        await pubsub.aclose()
            await asyncio.sleep(PROBE_PAUSE)

    async def _hear(self, pubsub: Any, told: Callable[[bytes], None]) -> None:
        """Until there is an error, or the server is left out: its name may stand for another by then."""

        async def receive() -> None:
            while True:
                await _receive(pubsub, told)

        tasks = [asyncio.ensure_future(work) for work in (receive(), self._gone.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _receive(pubsub: Any, told: Callable[[bytes], None]) -> None:
    """One message. Silence is asked about: a connection may be dead without a word."""
    message = await pubsub.get_message(timeout=SILENCE)
    if message is not None:
        if message["type"] == "message":
            told(message["data"])
        return
    async with asyncio.timeout(PROBE_TIMEOUT):
        await pubsub.ping()
        await pubsub.get_message(timeout=PROBE_TIMEOUT)


def _client(url: str, timeout: float, connections: int, opened: Opened) -> Any:
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise SettingsError(f"RAMET_REDIS_URL: expected one of {', '.join(f'{name}://' for name in SCHEMES)}.")
    given: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": PROBE_TIMEOUT, "protocol": 2}
    greeted = {"redis_connect_func": opened.greet}
    try:
        if scheme in CLUSTERS:
            plain = CLUSTERS[scheme] + url[len(scheme) :]
            retry = Retry(NoBackoff(), 1)
            cluster = RedisCluster.from_url(
                plain, max_connections=connections + BESIDE, retry=retry, require_full_coverage=False, **given
            )
            return opened.watch(cluster)
        pool: Any = BlockingConnectionPool.from_url(
            url, max_connections=connections, timeout=timeout, retry=Retry(NoBackoff(), 0), **given, **greeted
        )
        return Redis.from_pool(pool)
    except (ValueError, RedisError, TypeError) as error:
        raise SettingsError(f"RAMET_REDIS_URL: {error}.") from error


@cache
def _digest(script: str) -> str:
    """By which a server knows a script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _forget(answer: Awaitable[Any]) -> None:
    """An answer nobody waits for was never begun."""
    close = getattr(answer, "close", None)
    if close is not None:
        close()


def _unwritable(error: Exception) -> bool:
    """Whether the server takes no writes at all, or not ours."""
    return isinstance(error, ReadOnlyError | OutOfMemoryError | NoPermissionError) or str(error).startswith(UNWRITABLE)


def _fault(error: Exception) -> str:
    """What is wrong with it, as the rest of a sentence."""
    return "refuses what it is asked" if isinstance(error, ResponseError) else "does not answer"


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
