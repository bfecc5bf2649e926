"""Several instances of the subject on one database, and somebody who is signed in to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.ask import Asker, post
from benchmarks.engines import Engines, migrate
from benchmarks.servers import Cores, Server
from benchmarks.subjects import serve_ramet, shared
from benchmarks.works import PASSWORD

AUTH = "/api/v1/auth"
CHEAP = {"RAMET_PASSWORD_MEMORY": "64"}
"""For what signs in often and does not measure that."""


@contextmanager
def instances(
    directory: Path, cores: Cores, found: Engines, database: str, count: int, env: Mapping[str, str]
) -> Iterator[Sequence[Server]]:
    """`count` instances on a database of this name, which is made when it is not there. Each waited for."""
    if not found.postgres.sql(f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
        migrate(found.database(database))
    settings = {**shared(found, database, 2), **CHEAP, **env}
    with ExitStack() as stack:
        servers = []
        for number in range(count):
            servers.append(serve_ramet(directory, cores, settings, f"{database}-{number}"))
            stack.callback(servers[-1].stop)
        yield servers


def register(asker: Asker, email: str) -> str:
    """Makes a user; gives its address."""
    asker.ask(post(f"{AUTH}/register", {"email": email, "password": PASSWORD}))
    return email


def sign_in(asker: Asker, email: str) -> tuple[str, str]:
    """A new session: its access token and its id."""
    document = asker.ask(post(f"{AUTH}/sign-in", {"email": email, "password": PASSWORD})).document()
    return str(document["access_token"]), str(document["session"])
