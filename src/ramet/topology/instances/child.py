"""A process of a topology: it has a log, no terminal, and does not outlive us."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ramet.errors import SettingsError

_KILL = 10.0  # seconds in which the kernel ends what is killed, on whatever machine


class Child:
    """One running process. `code` is its exit code once it has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        log: Path,
        *,
        folder: Path | None = None,
        account: str | None = None,
        inherited: Sequence[int] = (),
        dies_by: signal.Signals | None = None,
    ) -> Child:
        """Starts a process in a group of its own, so that Ctrl-C reaches us alone, and in our order.

        `dies_by` is the signal it gets when we are gone without having stopped it.
        """
        guard = shutil.which("setpriv") if dies_by is not None else None
        prefix = [guard, "--pdeathsig", dies_by.name[3:], "--"] if guard and dies_by else []
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *prefix,
                *command,
                cwd=folder,
                user=account,
                group=None,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                process_group=0,
            )
        return cls(process)

    @property
    def code(self) -> int | None:
        return self._process.returncode

    async def ended(self) -> int:
        """The exit code, when it has ended; negative for a signal."""
        return await self._process.wait()

    def signal(self, number: int) -> None:
        if self._process.returncode is None:
            # Popen would look whether it has ended, and take its exit code from the thread that waits for it.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def sweep(self) -> None:
        """Kills what it has left behind of its own group, once it has ended."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, number: int, patience: float) -> bool:
        """Tells it to end, and kills it when it does not in time; whether it ended by itself."""
        self.signal(number)
        return await self.ends(patience)

    async def ends(self, patience: float) -> bool:
        """Whether it ends by itself in time; else it is killed."""
        try:
            async with asyncio.timeout(patience):
                await self.ended()
            return True
        except TimeoutError:
            self.signal(signal.SIGKILL)
            async with asyncio.timeout(_KILL):
                await self.ended()
            return False


async def run(*command: str, account: str | None = None, folder: Path | None = None) -> str:
    """What a short command prints. Raises SettingsError with what it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        user=account,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        said = (errors or output).decode(errors="replace").strip()
        raise SettingsError(f"{Path(command[0]).name} failed: {said or f'exit code {process.returncode}'}")
    return output.decode(errors="replace").strip()


def reason(code: int) -> str:
    """Why a process ended, as people say it."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
