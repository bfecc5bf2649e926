"""The engine and the session of each request. As durable as the subject: SQLite in WAL with `synchronous=FULL`."""

import os
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

DATABASE_URL = os.environ.get("PEER_DATABASE_URL", "sqlite+aiosqlite:///peer.db")
SQLITE = DATABASE_URL.startswith("sqlite")
engine = (
    create_async_engine(DATABASE_URL, connect_args={"timeout": 30})
    if SQLITE
    else create_async_engine(DATABASE_URL, pool_size=int(os.environ.get("PEER_DATABASE_POOL", "20")), max_overflow=0)
)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """What every model inherits."""


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


if SQLITE:
    event.listen(engine.sync_engine, "connect", _set_pragmas)


async def get_db() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        yield session
