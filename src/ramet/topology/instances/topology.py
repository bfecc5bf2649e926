"""The parts of a topology in their order: how they start, are watched, are replaced, and stop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ramet.errors import SettingsError
from ramet.settings import Settings
from ramet.topology.instances.folder import Folder, turn_over
from ramet.topology.instances.part import Part, Row, Say
from ramet.topology.instances.postgres import Primary, Replica
from ramet.topology.instances.programs import Programs
from ramet.topology.instances.servers import Balancer, Pooler, Redis
from ramet.topology.instances.slot import Slot
from ramet.topology.single.listener import listen

LOOPBACK = "127.0.0.1"
DRAIN = 4.0
"""Seconds an instance still takes requests when it is replaced, if no setting says another: nginx learns in half."""
LOOK = 5.0
"""Seconds between two looks at logs and replicas."""
MOST_STEPS = 8
"""Changes of the schema that are told one by one."""
STATEMENTS = 30
"""Connections to the database for people and replicas."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is started. `application` names the application; `demo` fills an empty database."""

    application: str
    instances: int = 3
    replicas: int = 1
    redis: bool = True
    pgbouncer: bool = False
    port: int = 8000
    demo: bool = False

    def programs(self) -> Iterator[str]:
        """The programs of others that it needs."""
        yield "postgres"
        if self.redis:
            yield "redis-server"
        if self.pgbouncer:
            yield "pgbouncer"
        yield "nginx"


class Topology:
    """All parts of one application on this machine. `say` is told what happens, in sentences.

    Raises SettingsError when a program is missing, a port is taken, or the folder is another topology's.
    """

    def __init__(self, plan: Plan, folder: Folder, say: Say) -> None:
        self.plan = plan
        self.folder = folder
        self.say = say
        self.programs = programs = Programs(plan.programs())
        listen(LOOPBACK, plan.port).close()
        self._lifeline, self._held = os.pipe()
        self._rolling = asyncio.Lock()
        connections = (plan.instances + 1) * (Settings.read().database_pool + 2) + STATEMENTS
        self.primary = Primary("postgres", folder, programs, say, connections)
        names = [f"replica {number}" for number in range(1, plan.replicas + 1)]
        self.replicas = [Replica(name, folder, programs, say, connections, self.primary) for name in names]
        self.redis = Redis(folder, programs, say) if plan.redis else None
        self.pooler = Pooler(folder, programs, say, self.primary) if plan.pgbouncer else None
        self.settings = self._settings()
        ports = [folder.port(f"instance {number}") for number in range(1, plan.instances + 1)]
        self.slots = [
            Slot(
                *(number, port, folder.logs / f"instance-{number}.log", say),
                *(plan.application, self.settings, self._lifeline),
            )
            for number, port in enumerate(ports, 1)
        ]
        self.balancer = Balancer(folder, programs, say, ports, self.settings, LOOPBACK, plan.port)
        self._chores: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"http://{LOOPBACK}:{self.plan.port}"

    @property
    def servers(self) -> Sequence[Part]:
        """What the instances need, in the order of their start."""
        return [part for part in (self.primary, *self.replicas, self.redis, self.pooler) if part is not None]

    @property
    def parts(self) -> Sequence[Part]:
        """All, in the order of their start."""
        return [*self.servers, *self.slots, self.balancer]

    async def start(self) -> None:
        """Starts everything. Raises SettingsError, with what a part said, when one does not come up."""
        await self.primary.start()
        beside = [part for part in self.servers if part is not self.primary]
        await _together([part.start() for part in beside])
        await self.migrate()
        await _together([slot.start() for slot in self.slots])
        await self.balancer.start()
        self._chores = asyncio.create_task(self._look_after(), name="logs and replicas")

    async def migrate(self) -> None:
        """Brings the database to the declaration, as `ramet migrate apply` does. Raises SettingsError."""
        settings = msgspec.structs.replace(self.settings, database_url=self.primary.url)
        command = [sys.executable, "-m", "ramet.cli.prepare", self.plan.application, "--migrate"]
        given = msgspec.json.encode(settings)
        process = await asyncio.create_subprocess_exec(
            *(*command, *(["--demo"] if self.plan.demo else [])),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        try:
            _, said = await process.communicate(given)
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        text = said.decode(errors="replace").strip()
        if process.returncode:
            raise SettingsError(text or "The database could not be brought to the declaration.")
        lines = text.splitlines()
        steps = [line for line in lines if line.startswith("Schema: ")]
        told = steps if len(steps) <= MOST_STEPS else [f"Schema: {len(steps)} changes are made."]
        for line in (*told, *(line for line in lines if line not in steps)):
            self.say(line)

    async def roll(self, say: Say) -> None:
        """Replaces the instances one at a time, without a failed request.

        Raises SettingsError when a successor does not become ready: it and those after it stay as they are.
        """
        if self._rolling.locked():
            raise SettingsError("The instances are being replaced already.")
        async with self._rolling:
            await self.migrate()
            for slot in self.slots:
                before = slot.row().pid
                await slot.replace()
                say(f"{slot.name} was replaced: process {before} by {slot.row().pid}.")

    async def stop(self) -> None:
        """Stops in the order that loses nothing: no new requests, then what is in flight, then what that needs."""
        if self._chores is not None:
            self._chores.cancel()
        self.balancer.tell_to_stop()
        for slot in self.slots:
            slot.tell_to_stop()
        await asyncio.gather(*(slot.stopped() for slot in self.slots))
        await self.balancer.stopped()
        for part in reversed(self.servers):
            await part.stop()
        self._close()

    def kill(self) -> None:
        """Ends everything at once."""
        for part in self.parts:
            part.kill()

    def rows(self) -> list[Row]:
        """How each part is."""
        return [part.row() for part in self.parts]

    def _close(self) -> None:
        for descriptor in (self._lifeline, self._held):
            with suppress(OSError):
                os.close(descriptor)

    def _settings(self) -> Settings:
        """Those of the environment, with the addresses of the parts."""
        redis: dict[str, Any] = {}
        if self.redis is not None and "redis_url" in Settings.__struct_fields__:
            redis["redis_url"] = self.redis.url
        settings = Settings.read(
            database_url=self.pooler.url if self.pooler else self.primary.url,
            replica_urls=tuple(replica.url for replica in self.replicas),
            trusted_proxies=(f"{LOOPBACK}/32",),
            host=LOOPBACK,
            workers=1,
            run_dir="",
            demo=self.plan.demo or None,
        )
        return msgspec.structs.replace(settings, drain_delay=settings.drain_delay or DRAIN, **redis)

    async def _look_after(self) -> None:
        logs: set[Path] = {part.log for part in self.parts} | {self.balancer.access_log}
        while True:
            for log in logs:
                await asyncio.to_thread(turn_over, log)
            for replica in self.replicas:
                await replica.measure()
            await asyncio.sleep(LOOK)


async def _together(starts: Sequence[Awaitable[None]]) -> None:
    """Starts several at once; the first that fails is told when all have come to their end."""
    for outcome in await asyncio.gather(*starts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
