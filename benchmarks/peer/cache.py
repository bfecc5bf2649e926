"""Cache-aside and rate limits in Redis, where there is one: `PEER_REDIS_URL`."""

import os
import time
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, status
from redis.asyncio import Redis

from benchmarks.peer.models import User
from benchmarks.peer.security import get_current_user

REDIS_URL = os.environ.get("PEER_REDIS_URL", "")
redis: Redis | None = Redis.from_url(REDIS_URL) if REDIS_URL else None
CACHE_SECONDS = 300
LIMIT, WINDOW = 60_000, 1


async def limited_user(user: Annotated[User, Depends(get_current_user)]) -> User:
    """The caller, counted in a fixed window. Raises 429 beyond the limit."""
    if redis is not None:
        key = f"limit:{user.id}:{int(time.time()) // WINDOW}"
        async with redis.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.expire(key, WINDOW)
            count, _ = await pipe.execute()
        if count > LIMIT:
            raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, "Too many requests")
    return user


async def get_cached(key: str) -> bytes | None:
    value = await redis.get(key) if redis is not None else None
    return value if isinstance(value, bytes) else None


async def set_cached(user_id: UUID, key: str, value: bytes) -> None:
    """Keeps an answer, and its key beside the user's others."""
    if redis is not None:
        async with redis.pipeline(transaction=True) as pipe:
            pipe.set(key, value, ex=CACHE_SECONDS)
            pipe.sadd(f"lists:{user_id}", key)
            await pipe.execute()


async def forget_lists(user_id: UUID) -> None:
    """Deletes every kept list of a user, after a write."""
    if redis is not None and (keys := await redis.smembers(f"lists:{user_id}")):
        await redis.delete(f"lists:{user_id}", *keys)
