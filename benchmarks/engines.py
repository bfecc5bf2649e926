"""The private PostgreSQL, Redis and nginx of a run: on free ports of the loopback, beside the load, gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import ROOT, Cores, Server, family_time, free_port
from tests.postgres import Server as Postgres

DURABLE = ("max_connections=200", "shared_buffers=256MB", "max_wal_size=4GB", "wal_compression=lz4", "autovacuum=on")
"""As PostgreSQL comes, every commit synced, with memory for the data and no checkpoint in the middle of a round."""
APPLICATION = "benchmarks/ramet_app.py"


@dataclass(frozen=True, slots=True)
class Engines:
    """Where the two are. Everything that belongs to a subject is in a database of its name."""

    postgres: Postgres
    cache: Server

    def database(self, name: str) -> str:
        """The address of an empty database of this name."""
        self.postgres.sql(f"CREATE DATABASE {name}")
        return self.postgres.url(name)

    def redis(self, number: int) -> str:
        """The address of one of Redis's databases."""
        return f"redis://127.0.0.1:{self.cache.port}/{number}"

    def busy(self) -> float:
        """Processor time that both have taken so far, in seconds."""
        leader = int((self.postgres.data / "postmaster.pid").read_text().split()[0])
        return family_time(leader) + self.cache.busy()

    def settle(self) -> None:
        """Puts what was filled in where it stays, so that no round pays for it."""
        self.postgres.run(
            "vacuumdb", "--all", "--analyze", "-q", "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", "ramet"
        )
        self.postgres.sql("CHECKPOINT")


@contextmanager
def engines(directory: Path, cores: Cores) -> Iterator[Engines]:
    """PostgreSQL and Redis, running."""
    postgres, port = Postgres(DURABLE), free_port()
    try:
        postgres.create()
        with beside_load(cores):
            postgres.start()
        line = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        redis = Server([*line, "--dir", str(directory)], port, directory / "redis.log", {}, cores.swapped())
        try:
            redis.wait()
            yield Engines(postgres, redis)
        finally:
            redis.stop()
    finally:
        postgres.remove()


@contextmanager
def beside_load(cores: Cores) -> Iterator[None]:
    """What is started in here runs where the load does, and leaves the other core to what is measured."""
    before = os.sched_getaffinity(0)
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def migrate(url: str, application: str = APPLICATION) -> None:
    """Gives a database the schema of the subject."""
    command = [str(Path(sys.executable).with_name("ramet")), "migrate", "apply", "--app", application]
    environment = {**os.environ, "RAMET_DATABASE_URL": url}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def nginx(directory: Path, ports: Sequence[int], cores: Cores) -> Server:
    """nginx in front of instances: least connections, connections kept open. Waited for."""
    port = free_port()
    servers = "\n".join(f"    server 127.0.0.1:{instance};" for instance in ports)
    user = "user root;" if os.geteuid() == 0 else ""  # the folder of a run is its owner's alone
    file = directory / f"nginx-{len(ports)}.conf"
    file.write_text(_NGINX.format(directory=directory, servers=servers, port=port, kept=32 * len(ports), user=user))
    line = ["nginx", "-c", str(file), "-p", str(directory)]
    server = Server(line, port, directory / "nginx.log", {}, cores.swapped())
    server.wait("/health/live")
    return server


_NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx-{port}.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  keepalive_requests 1000000;
  upstream instances {{
    least_conn;
{servers}
    keepalive {kept};
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://instances;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""
