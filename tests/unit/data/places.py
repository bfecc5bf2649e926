"""Databases on a server, for the tests of migrations there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import psycopg

from ramet import Digits
from ramet.app import App
from ramet.data.migrations.runner import Migrator
from ramet.declare.resource import Resource
from ramet.settings import Settings
from tests import databases
from tests.unit.data.declarations import made

BASE: dict[str, Any] = {"title": str, "amount": Annotated[Decimal, Digits(18, 2)], "due": datetime | None}
ADD = (
    "INSERT INTO things (id, owner, created_at, updated_at, version, title, amount)"
    " VALUES ('{0}', 'o', now(), now(), 1, '{1}', 1.5)"
)
SOON = "5s"
"""How long the statement of somebody else may wait in a test before it fails."""


class Place:
    """An empty database and a folder of revisions."""

    def __init__(self, folder: Path) -> None:
        self.name = f"m{databases.named(folder)}"
        databases.server().sql(f"CREATE DATABASE {self.name}")
        self.url = databases.server().url(self.name)
        self.folder = folder / "migrations"

    def migrator(self, *resources: type[Resource]) -> Migrator:
        app = App(resources=resources)
        app.configure(Settings(database_url=self.url))
        return Migrator(self.url, self.folder, app.catalog, app.schema, app.engine)

    def current(self, *resources: type[Resource]) -> bool:
        return App(resources=resources).has_schema(Settings(database_url=self.url))

    def sql(self, statement: str) -> str:
        return databases.server().sql(statement, self.name)

    def add(self, title: str, key: str = "") -> None:
        """One more thing. Raises RuntimeError when it has to wait for long."""
        self.sql(f"SET lock_timeout = '{SOON}'; {ADD.format(key or title, title)}")

    @contextmanager
    def using(self, statement: str) -> Iterator[psycopg.Connection[Any]]:
        """Somebody who has run a statement and leaves the transaction open."""
        with psycopg.connect(self.url, application_name="somebody") as connection:
            connection.execute(statement)
            yield connection

    def indexes(self) -> dict[str, str]:
        """Whether each index of things is valid, and its number."""
        found = self.sql(
            "SELECT i.relname || ' ' || x.indisvalid || ' ' || i.oid FROM pg_index x"
            " JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = 'things'::regclass AND i.relname LIKE 'ix%'"
        )
        return {name: rest for name, _, rest in (line.partition(" ") for line in found.splitlines())}


def thing(more: dict[str, Any] | None = None, **declared: Any) -> type[Resource]:
    return made("Thing", {**BASE, **(more or {})}, path="things", **declared)
