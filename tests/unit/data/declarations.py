"""Databases and declarations that change, for the tests of migrations."""

from __future__ import annotations

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import apsw

from ramet.app import App
from ramet.data.migrations.runner import Migrator
from ramet.declare.resource import Resource
from ramet.declare.types import Ref
from ramet.settings import Settings

ROW = "1-0000", "anna", "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", 1


class World:
    """One database file and one folder of revisions, for one declaration after the other."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "data.db"
        self.folder = folder / "migrations"
        self.settings = Settings(database_url=f"sqlite:///{self.file}")

    def migrator(self, *resources: type[Resource]) -> Migrator:
        app = App(resources=resources)
        return Migrator(self.settings.database_url, self.folder, app.catalog, app.schema, app.engine)

    def is_current(self, *resources: type[Resource]) -> bool:
        return App(resources=resources).prepare(self.settings)

    def sql(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        connection = apsw.Connection(str(self.file))
        try:
            return connection.execute(text, values).fetchall()
        finally:
            connection.close()

    def content(self) -> list[Any]:
        """Everything in the file: its schema, and the rows of every ordinary table."""
        schema = self.sql("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
        tables = [name for kind, name, _ in schema if kind == "table"]
        return [schema, [(name, self.sql(f"SELECT * FROM {name}")) for name in tables]]

    def add(self, table: str, number: int, **values: Any) -> None:
        base = dict(zip(("id", "owner", "created_at", "updated_at", "version"), ROW, strict=True))
        row = {**base, "id": f"{number}-0000", **values}
        marks = ", ".join("?" for _ in row)
        self.sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def made(name: str, annotations: dict[str, Any], **declared: Any) -> type[Resource]:
    """A declaration that differs from another of the same name."""
    namespace = {"__annotations__": annotations, "__module__": __name__, **declared}
    return types.new_class(name, (Resource,), exec_body=lambda body: body.update(namespace))


def task(annotations: dict[str, Any] | None = None, **declared: Any) -> type[Resource]:
    return made("Task", {"title": str, **(annotations or {})}, search=("title",), **declared)


def ring() -> list[type[Resource]]:
    """Tasks refer to pots, labels to both pots and gardens, and these to each other; a pot also to a pot."""

    pot, garden = Annotated[str | None, Ref("Pot", on_delete="null")], Annotated[str | None, Ref("Garden")]
    return [
        made("Garden", {"pot": pot}, pot=None),
        made("Pot", {"garden": garden, "pot": pot}, garden=None, pot=None),
        made("Label", {"garden": garden, "pot": pot}, garden=None, pot=None),
        task({"pot": pot}, pot=None),
    ]


def started(world: World, *resources: type[Resource], **values: Any) -> None:
    """One row in the table of tasks."""
    assert world.is_current(*(resources or (task(),)))
    world.add("tasks", 1, title="Water the ferns", **values)


def found(world: World, words: str) -> list[Any]:
    return world.sql("SELECT rowid FROM tasks_fts WHERE tasks_fts MATCH ?", (words,))
