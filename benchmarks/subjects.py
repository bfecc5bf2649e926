"""The three servers of a run: how each is started, filled and asked for the same work, on SQLite or on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.ask import Answer, Asker, WrongAnswer, post
from benchmarks.engines import APPLICATION, Engines, migrate
from benchmarks.load import Request
from benchmarks.servers import ROOT, Cores, Server, free_port
from benchmarks.works import CALLERS, PASSWORD, TASKS_EACH, draft, email

DISTINCT_CREATES = 2000
FILLERS = 16
CONNECTIONS = 20
"""Connections to PostgreSQL that Ramet and the peer keep."""


class Subject(Protocol):
    """A server that does the works. Both write one access line for each request to `log`."""

    @property
    def name(self) -> str: ...

    def start(self, directory: Path, cores: Cores) -> Server:
        """The server with its database in `directory`; not yet waited for."""

    def fill(self, directory: Path, cores: Cores, people: int) -> None:
        """Puts TASKS_EACH tasks for each of `people` into the database in `directory`."""

    def sign_in(self, person: int) -> Request: ...

    def requests(self, work: str, tokens: Sequence[str], asker: Asker) -> list[Request]:
        """What to send for a work, in turn; `tokens` are those of twice CALLERS people."""

    def check(self, work: str, request: Request, asker: Asker) -> Answer:
        """One answer to a work. Raises WrongAnswer when it isn't the work, or when something was switched off."""


def tokens(subject: Subject, asker: Asker) -> list[str]:
    """Fresh access tokens of readers and writers."""
    return [str(asker.ask(subject.sign_in(person)).document()["access_token"]) for person in range(2 * CALLERS)]


def start_floor(size: int, directory: Path, cores: Cores, *, turns: bool = False) -> Server:
    """The floor, answering bodies of `size` bytes; with `turns` its threads are scheduled as Ramet's are."""
    port = free_port()
    line = [sys.executable, "-m", "benchmarks.floor", str(port), str(size), *(["turns"] if turns else [])]
    server = Server(line, port, directory / "floor.log", {}, cores)
    server.wait("/")
    return server


def limits(rate: str) -> dict[str, str]:
    """Settings that limit everything to COUNT/SECONDS."""
    return {f"RAMET_LIMIT_{limit}": rate for limit in ("CALLER", "ADDRESS", "SIGN_IN", "REGISTER", "REFRESH")}


def shared(engines: Engines, database: str, number: int) -> dict[str, str]:
    """Settings of instances that share a database, and one of Redis's.

    Limits are leased from Redis for a sixtieth of their time, so that this is that of the default: a minute.
    """
    servers = {"RAMET_DATABASE_URL": engines.postgres.url(database), "RAMET_REDIS_URL": engines.redis(number)}
    return {**servers, **limits("3000000/60")}


def serve_ramet(directory: Path, cores: Cores, env: Mapping[str, str], name: str = "ramet") -> Server:
    """The subject with limits that nobody meets, its log in a file of this `name`. Waited for."""
    port = free_port()
    line = [str(Path(sys.executable).with_name("ramet")), "serve", APPLICATION, "--port", str(port)]
    server = Server(line, port, directory / f"{name}.log", {**limits("60000/1"), **env}, cores)
    server.wait("/health/ready")
    return server


@dataclass(frozen=True, slots=True)
class Ramet:
    """`ramet serve` with rate limits (too high to be met), metrics and the access log on.

    On PostgreSQL, and Redis, where there are `engines`.
    """

    engines: Engines | None = None
    name: str = "Ramet"

    def start(self, directory: Path, cores: Cores) -> Server:
        return serve_ramet(directory, cores, self._env(directory))

    def _env(self, directory: Path) -> dict[str, str]:
        if self.engines is None:
            return {"RAMET_DATABASE_URL": f"sqlite:///{directory / 'ramet.db'}"}
        return {**shared(self.engines, "ramet", 0), "RAMET_DATABASE_POOL": str(CONNECTIONS)}

    def fill(self, directory: Path, cores: Cores, people: int) -> None:
        if self.engines is not None:
            migrate(self.engines.database("ramet"))
        server = self.start(directory, cores)
        try:
            self.fill_people(server.port, people)
        finally:
            server.stop()

    def fill_people(self, port: int, people: int) -> None:
        """Puts people and their tasks into the database of a running server."""
        with ThreadPoolExecutor(FILLERS) as pool:
            list(pool.map(lambda person: self._fill_one(port, person), range(people)))

    def _fill_one(self, port: int, person: int) -> None:
        asker = Asker(port)
        asker.ask(post("/api/v1/auth/register", {"email": email(person), "password": PASSWORD}))
        token = asker.ask(self.sign_in(person)).document()["access_token"]
        for path in ("/api/v1/tasks", "/api/v1/plain-tasks"):
            for index in range(TASKS_EACH):
                asker.ask(post(path, draft(person, index).document(), token))
        asker.close()

    def sign_in(self, person: int) -> Request:
        return post("/api/v1/auth/sign-in", {"email": email(person), "password": PASSWORD})

    def requests(self, work: str, tokens: Sequence[str], asker: Asker) -> list[Request]:
        readers, writers = tokens[:CALLERS], tokens[CALLERS:]
        query = "?status=pending&sort=-created_at&limit=20"
        if work == "cached-list":
            return [Request("GET", f"/api/v1/tasks{query}", token) for token in readers]
        if work == "list":
            return [Request("GET", f"/api/v1/plain-tasks{query}", token) for token in readers]
        if work == "record":
            return _records("/api/v1/plain-tasks", query, readers, asker)
        return _creates("/api/v1/tasks", writers)

    def check(self, work: str, request: Request, asker: Asker) -> Answer:
        asker.ask(Request(request.method, request.path, "", request.body), 401)
        asker.ask(request)
        answer = asker.ask(request)
        cache = answer.header("ramet-cache")
        if (cache == "near") != (work == "cached-list"):
            raise WrongAnswer(f"{work} was answered with Ramet-Cache: {cache or 'absent'}")
        if not answer.header("ratelimit"):
            raise WrongAnswer(f"{work} was answered without RateLimit: limits are off")
        asker.ask(Request("GET", "/metrics"))
        return _whole(work, answer)


@dataclass(frozen=True, slots=True)
class Peer:
    """FastAPI under uvicorn with uvloop and httptools, its access log on as it is by default.

    On SQLite, or with `engines` on PostgreSQL with limits and cache-aside in Redis.
    """

    engines: Engines | None = None
    name: str = "peer"

    def start(self, directory: Path, cores: Cores) -> Server:
        port = free_port()
        line = [sys.executable, "-m", "uvicorn", "benchmarks.peer.app:app", "--port", str(port), "--workers", "1"]
        line += ["--loop", "uvloop", "--http", "httptools"]
        server = Server(line, port, directory / "peer.log", self._env(directory), cores)
        server.wait("/health")
        return server

    def fill(self, directory: Path, cores: Cores, people: int) -> None:
        if self.engines is not None:
            self.engines.database("peer")
        rows = [
            {"email": email(person), "tasks": [draft(person, index).document() for index in range(TASKS_EACH)]}
            for person in range(people)
        ]
        document = json.dumps({"password": PASSWORD, "people": rows}).encode()
        line = [sys.executable, "-m", "benchmarks.peer.seed"]
        env = {**os.environ, **self._env(directory)}
        subprocess.run(line, input=document, cwd=ROOT, env=env, check=True)

    def _env(self, directory: Path) -> dict[str, str]:
        if self.engines is None:
            return {"PEER_DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'peer.db'}"}
        url = self.engines.postgres.url("peer").replace("postgresql:", "postgresql+asyncpg:")
        pool = {"PEER_DATABASE_POOL": str(CONNECTIONS)}
        return {"PEER_DATABASE_URL": url, "PEER_REDIS_URL": self.engines.redis(1), **pool}

    def sign_in(self, person: int) -> Request:
        return post("/auth/sign-in", {"email": email(person), "password": PASSWORD})

    def requests(self, work: str, tokens: Sequence[str], asker: Asker) -> list[Request]:
        readers, writers = tokens[:CALLERS], tokens[CALLERS:]
        query = "?status=pending&limit=20"
        if work in ("cached-list", "list"):
            path = "/cached-tasks" if work == "cached-list" and self.engines is not None else "/tasks"
            return [Request("GET", path + query, token) for token in readers]
        if work == "record":
            return _records("/tasks", query, readers, asker)
        return _creates("/tasks", writers)

    def check(self, work: str, request: Request, asker: Asker) -> Answer:
        asker.ask(Request(request.method, request.path, "", request.body), 401)
        return _whole(work, asker.ask(request))


def _records(path: str, query: str, readers: Sequence[str], asker: Asker) -> list[Request]:
    """Each reader's first page of records, one reader after the other for each record."""
    pages = [asker.ask(Request("GET", path + query, token)).document()["items"] for token in readers]
    return [
        Request("GET", f"{path}/{record['id']}", token)
        for row in zip(*pages, strict=True)
        for record, token in zip(row, readers, strict=True)
    ]


def _creates(path: str, writers: Sequence[str]) -> list[Request]:
    documents = [draft(turn % len(writers), turn).document() for turn in range(DISTINCT_CREATES)]
    return [post(path, document, writers[turn % len(writers)]) for turn, document in enumerate(documents)]


def _whole(work: str, answer: Answer) -> Answer:
    """The answer, seen to be a full page of 20 or one whole record."""
    document = answer.document()
    page = work in ("cached-list", "list")
    records = document["items"] if page else [document]
    if len(records) != (20 if page else 1) or not all(record["title"] for record in records):
        raise WrongAnswer(f"{work}: not a full answer: {answer.body[:200]!r}")
    return answer
