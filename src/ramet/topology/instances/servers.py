"""The other servers of a topology: Redis, PgBouncer, and nginx in front."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ramet.settings import Settings
from ramet.topology.instances.child import Child
from ramet.topology.instances.folder import Folder
from ramet.topology.instances.part import Program, Say, answers
from ramet.topology.instances.postgres import DATABASE, USER, Primary
from ramet.topology.instances.programs import Programs
from ramet.topology.nginx.configuration import configuration
from ramet.topology.nginx.front import Front

_POOLED = 20  # connections of PgBouncer to the database


class Redis(Program):
    """A Redis that keeps nothing: what is in it may be lost at any time."""

    def __init__(self, folder: Folder, programs: Programs, say: Say) -> None:
        place = folder.own("redis", folder.account)
        super().__init__("redis", folder.port("redis"), place / "server.log", say, folder.account)
        self._program = programs["redis-server"]
        self._password = folder.password
        lines = (
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {folder.password}",
            'save ""',
            "appendonly no",
            "maxmemory 128mb",
            "maxmemory-policy volatile-lru",
        )
        self._file = folder.write(place / "redis.conf", "\n".join(lines) + "\n", folder.account)

    @property
    def url(self) -> str:
        """Its address for an application."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        return [self._program, str(self._file), "--dir", str(self.log.parent)]

    async def alive(self) -> bool:
        question = f"AUTH {self._password}\r\nPING\r\n".encode()
        return await answers(self.port, question, b"+OK\r\n+PONG\r\n")


class Pooler(Program):
    """PgBouncer in transaction mode, between the instances and the primary."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Folder, programs: Programs, say: Say, primary: Primary) -> None:
        place = folder.own("pgbouncer", folder.account)
        super().__init__("pgbouncer", folder.port("pgbouncer"), place / "server.log", say, folder.account)
        self._program = programs["pgbouncer"]
        self._password = folder.password
        users = folder.write(place / "users.txt", f'"{USER}" "{folder.password}"\n', folder.account)
        lines = (
            "[databases]",
            f"{DATABASE} = host=127.0.0.1 port={primary.port} dbname={DATABASE} user={USER}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = scram-sha-256",
            f"auth_file = {users}",
            "pool_mode = transaction",
            f"default_pool_size = {_POOLED}",
            "max_client_conn = 1000",
        )
        self._file = folder.write(place / "pgbouncer.ini", "\n".join(lines) + "\n", folder.account)

    @property
    def url(self) -> str:
        """Its address for an application."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{DATABASE}"

    def command(self) -> list[str]:
        return [self._program, str(self._file)]

    async def alive(self) -> bool:
        return await answers(self.port, b"", b"")


class Balancer(Program):
    """nginx, on the port that people use."""

    stop_signal = signal.SIGQUIT  # what it has accepted is answered
    dies_by = signal.SIGTERM
    patience = 5.0
    """The instances have ended by then: there is nothing more to wait for."""

    def __init__(
        self,
        folder: Folder,
        programs: Programs,
        say: Say,
        ports: list[int],
        settings: Settings,
        address: str,
        port: int,
    ) -> None:
        place = folder.own("nginx")
        if folder.account is not None:
            place.chmod(0o711)  # its workers are not root
        super().__init__("nginx", port, folder.logs / "nginx.log", say)
        self._program = programs["nginx"]
        self.access_log = folder.logs / "access.log"
        self._pid = place / "nginx.pid"
        front = Front(
            upstreams=tuple(f"127.0.0.1:{number}" for number in ports),
            hosts=(address,),
            port=port,
            access_log=str(self.access_log),
            error_log=str(self.log),
            pid=str(self._pid),
            temporary=str(place),
            workers=min(2, os.cpu_count() or 1),
        )
        self._file: Path = folder.write(place / "nginx.conf", configuration(front, settings))

    def command(self) -> list[str]:
        return [
            self._program,
            "-p",
            str(self._file.parent),
            "-c",
            str(self._file),
            "-e",
            str(self.log),
            "-g",
            "daemon off;",
        ]

    async def alive(self) -> bool:
        """Its own process has the port, and not what an earlier one has left."""
        try:
            own = self.child is not None and int(self._pid.read_text()) == self.child.pid
        except (OSError, ValueError):
            return False
        return own and await answers(self.port, b"", b"")

    def after_end(self, child: Child) -> None:
        """Its workers go on without it, and keep the port."""
        child.sweep()
