"""A private PostgreSQL: a primary whose data stays, and streaming replicas of it."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from ramet.errors import SettingsError
from ramet.topology.instances.child import run
from ramet.topology.instances.folder import Folder
from ramet.topology.instances.part import Program, Row, Say
from ramet.topology.instances.programs import Programs

USER = DATABASE = "ramet"
KEPT_WAL = "512MB"
"""What a replica that was away finds again."""
STATUS = 7
"""The line of `postmaster.pid`, from 0, in which a server says how it is."""


class Database(Program):
    """One server of PostgreSQL. `connections` is how many it takes."""

    stop_signal = signal.SIGINT  # "fast": connections are ended, nothing is lost
    dies_by = signal.SIGINT
    patience = 300.0
    """All that has changed is written out before it ends; killed before that, it would begin with making up for it."""

    def __init__(self, name: str, folder: Folder, programs: Programs, say: Say, connections: int) -> None:
        super().__init__(name, folder.port(name), folder.own(name, folder.account) / "server.log", say, folder.account)
        self.programs = programs
        self.place = self.log.parent
        self.data = self.place / "data"
        self._folder = folder
        self._connections = connections
        self.passfile = folder.write(self.place / "passwords", f"*:*:*:{USER}:{folder.password}\n", folder.account)

    @property
    def url(self) -> str:
        """Its address for an application."""
        return f"postgresql://{USER}:{self._folder.password}@127.0.0.1:{self.port}/{DATABASE}"

    def options(self) -> list[str]:
        return [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            f"max_connections={self._connections}",
            f"wal_keep_size={KEPT_WAL}",
            "hot_standby=on",
            "hot_standby_feedback=on",
        ]

    def command(self) -> list[str]:
        words = [self.programs["postgres"], "-D", str(self.data)]
        for option in self.options():
            words += ["-c", option]
        return words

    async def alive(self) -> bool:
        try:
            await self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        except SettingsError:
            return False
        return True

    def coming(self) -> bool:
        """After a crash it first goes through its log; begun anew meanwhile, it would never come to the end of that."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        mine = self.child is not None and lines[:1] == [str(self.child.pid)]
        return mine and len(lines) > STATUS and lines[STATUS].strip() == "starting"

    async def prepare(self) -> None:
        """Ends what an earlier run that was killed may have left."""
        if (self.data / "postmaster.pid").exists():
            try:
                await self._run(
                    "pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", f"{self.patience:.0f}"
                )
            except SettingsError:
                return  # it was not running: the server itself finds that out

    async def sql(self, statement: str, database: str = "postgres") -> str:
        """What a statement gives, as text."""
        return await self._run("psql", "-XqAtw", "-v", "ON_ERROR_STOP=1", "-d", self._target(database), "-c", statement)

    def _target(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={USER} dbname={database} passfile='{self.passfile}'"

    async def _run(self, program: str, *arguments: str) -> str:
        return await run(self.programs[program], *arguments, account=self.account, folder=self.place)


class Primary(Database):
    """The server that takes writes. `made`: its data is new."""

    made = False

    async def prepare(self) -> None:
        await super().prepare()
        if (self.data / "PG_VERSION").exists():
            self._fits()
            return
        self.say("Making a new database server.")
        shutil.rmtree(self.data, ignore_errors=True)
        secret = self._folder.write(self.place / "password", self._folder.password, self.account)
        method = "scram-sha-256"
        await self._run(
            *("initdb", "-D", str(self.data), "-U", USER, "-A", method, "--pwfile", str(secret)),
            *("-E", "UTF8", "--locale=C"),
        )
        secret.unlink()
        self.made = True

    async def start(self) -> None:
        await super().start()
        if not await self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
            await self.sql(f"CREATE DATABASE {DATABASE}")

    def _fits(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        here = Path(self.programs["postgres"]).parts[-3]
        if here.isdigit() and here != version:
            raise SettingsError(
                f"{self.data} was made by PostgreSQL {version}, and here is {here}. Install postgresql-{version}, or "
                "remove the folder if its data may go."
            )


class Replica(Database):
    """A copy of a primary, made anew when the primary is."""

    def __init__(
        self, name: str, folder: Folder, programs: Programs, say: Say, connections: int, primary: Primary
    ) -> None:
        super().__init__(name, folder, programs, say, connections)
        self._primary = primary
        self._lag = ""

    def options(self) -> list[str]:
        # Where the primary is now; the password stands in a file, for others see what a process was started with.
        source = f"host=127.0.0.1 port={self._primary.port} user={USER} passfile='{self.passfile}'"
        return [*super().options(), f"primary_conninfo={source}"]

    async def prepare(self) -> None:
        await super().prepare()
        if self._primary.made or not (self.data / "standby.signal").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            source = f"host=127.0.0.1 port={self._primary.port} user={USER} passfile='{self.passfile}'"
            await self._run("pg_basebackup", "-d", source, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast")

    async def measure(self) -> None:
        """Asks it how far it is behind."""
        if self.state != "up":
            self._lag = ""
            return
        try:
            async with asyncio.timeout(2):
                self._lag = await self.sql(
                    "SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN '0 s' ELSE"
                    " coalesce(round(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 1) || ' s', '') END"
                )
        except (SettingsError, TimeoutError):
            self._lag = "unknown"

    def row(self) -> Row:
        row = super().row()
        row.lag = self._lag
        return row
