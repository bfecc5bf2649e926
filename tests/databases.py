"""Where tests keep their data: a file each, or with RAMET_TEST_DATABASE=postgresql a database each on one server."""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import apsw

from ramet.app import App
from ramet.data.engines import engine_part
from ramet.data.fingerprint import fingerprint
from ramet.data.migrations.runner import Migrator
from ramet.declare.resource import Resource
from ramet.settings import Settings
from tests.postgres import QUICK, Server

SHARED = "RAMET_TEST_SERVER"
"""Where the server listens, for the processes that tests start: these only use what the test has made."""
WITH_PGBOUNCER = "pgbouncer"
WITHOUT_REDIS = "without-redis"
_topology = os.environ.get("RAMET_TEST_TOPOLOGY", "")
TOPOLOGY = "" if SHARED in os.environ else _topology
"""How scenarios run: instances, or those with PgBouncer or without Redis; see `instances`. Empty is in process."""
CHOSEN = "postgresql" if _topology else os.environ.get("RAMET_TEST_DATABASE", "sqlite")
"""The scheme of the databases that scenarios run on."""


@cache
def server() -> Server:
    """The one server of this run of the tests, also for processes that a test starts."""
    # What is acknowledged is in the log at once, where somebody waits until the replica has it.
    found = Server(
        [*QUICK, "synchronous_commit=local", "max_connections=500"] if TOPOLOGY else QUICK,
        port=int(os.environ.get(SHARED, "0")),
    )
    if SHARED in os.environ:
        return found
    atexit.register(found.remove)
    found.create()
    found.start()
    os.environ[SHARED] = str(found.port)
    return found


def address(path: Path, resources: Sequence[type[Resource]]) -> str:
    """The address of the database that stands for `path`, with the schema of the resources where one is needed."""
    if CHOSEN == "sqlite":
        return f"sqlite:///{path}"
    return fresh(named(path), App(resources=resources))


def named(path: Path) -> str:
    """A name that goes with a path."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:24]


def fresh(name: str, app: App) -> str:
    """A database of this name on the server, which has the schema of the application; made when it is not there."""
    name = f"t{name}"
    if not server().own:
        return server().url(name)
    template = _template(app)
    if name not in _made:
        _made.add(name)
        server().sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    elif _made_from.get(name) != template:
        migrate(server().url(name), app)
    _made_from[name] = template
    return server().url(name)


def migrate(url: str, app: App, **options: Any) -> list[str]:
    """What `ramet migrate apply` does."""
    app.configure(Settings(database_url=url))
    return Migrator(url, Path("/nonexistent"), app.catalog, app.schema, app.engine).apply(reviewed=True, **options)


_made: set[str] = set()
_made_from: dict[str, str] = {}
_templates: set[str] = set()


def _template(app: App) -> str:
    app.configure(Settings(database_url=server().url("postgres")))
    statements = engine_part(server().url("postgres"), "ddl").schema_statements(app.schema, app.catalog)
    name = f"template_{fingerprint(statements, app.catalog)[:24]}"
    if name not in _templates:
        _templates.add(name)
        server().sql(f"CREATE DATABASE {name}")
        migrate(server().url(name), app)
    return name


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    if not url.startswith("sqlite"):
        database = url.rpartition("/")[2]
        names = server().sql(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
            database,
        )
        return {
            name: [
                (line,) for line in server().sql(f'SELECT t::text FROM "{name}" t ORDER BY 1', database).splitlines()
            ]
            for name in names.split()
        }
    path = url.removeprefix("sqlite:///")
    with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name")
        tables = [name for (name,) in found.fetchall() if name != "sqlite_sequence"]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
