"""A store on a real file, with one table to write to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ramet.changes.change import Position
from ramet.data.engines import engine_for, prepare_schema
from ramet.data.schema import Schema
from ramet.data.sqlite.store import SqliteStore
from ramet.data.statement import Statement
from ramet.data.store import Awaited, Entry, Transaction
from ramet.declare.catalog import Catalog
from ramet.declare.resource import Resource
from ramet.observe import Observer
from ramet.settings import Settings

PUT = Statement("INSERT INTO ramet_facts (name, value) VALUES (?, ?)", ("name", "value"), {})
ALL = Statement("SELECT name, value FROM ramet_facts WHERE name LIKE 'x%' ORDER BY name", (), {})


class Thing(Resource):
    """Only its schema matters."""

    label: str = ""


class Opened(NamedTuple):
    """A store, what it told, and how often it called `committed`."""

    store: SqliteStore
    observer: Observer
    commits: list[int]

    async def put(self, name: str, value: str = "") -> str:
        async def work(tx: Transaction) -> str:
            await tx.fetch(PUT, {"name": name, "value": value})
            return name

        return await self.store.write(work)

    async def insert(self, name: str, entry: Entry) -> Position:
        place: Awaited[Position] = Awaited()
        self.store.insert(PUT, (name, ""), entry, place.settle)
        return await place

    async def names(self) -> list[str]:
        return [row[0] for row in await self.store.fetch(ALL, {})]


Opens = Callable[..., Any]


@pytest.fixture
def opens(tmp_path: Path) -> Opens:
    """Opens a store on this test's file; more than one at a time are like several processes."""

    @asynccontextmanager
    async def opened(**given: Any) -> AsyncIterator[Opened]:
        url = f"sqlite:///{tmp_path / 'data.db'}"
        settings = Settings.read({}, database_url=url, **given)
        catalog = Catalog([Thing])
        assert prepare_schema(url, Schema(catalog, engine_for(url)), catalog)
        observer = Observer()
        commits: list[int] = []
        store = SqliteStore(tmp_path / "data.db", settings, observer, lambda: 1, lambda _: commits.append(1))
        try:
            yield Opened(store, observer, commits)
        finally:
            await store.stop()

    return opened
