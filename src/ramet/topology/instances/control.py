"""How other commands speak to a running topology: a socket in its folder, a question in JSON, answers line by line."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from ramet.errors import SettingsError
from ramet.topology.instances.part import Row
from ramet.topology.instances.topology import Topology

SOCKET = "control"
_LONGEST = 100  # bytes of a socket's path that every kernel takes
_QUESTION = 4_096  # bytes


class Question(msgspec.Struct):
    """What somebody wants."""

    do: Literal["status", "roll"]


class Line(msgspec.Struct, omit_defaults=True):
    """Part of an answer: a sentence, or how the parts are; `done` in the last, with `failed` when it was not done."""

    text: str = ""
    url: str = ""
    rows: list[Row] = []
    done: bool = False
    failed: bool = False


class Control:
    """Answers questions about a topology, which only its owner may ask."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._path = topology.folder.path / SOCKET
        self._server: asyncio.Server | None = None
        self._encoder = msgspec.json.Encoder()

    async def start(self) -> None:
        """Listens."""
        self._path.unlink(missing_ok=True)
        with _short(self._path) as path:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=_QUESTION)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def write(line: Line) -> None:
            writer.write(self._encoder.encode(line) + b"\n")

        with suppress(ConnectionError, asyncio.LimitOverrunError, ValueError):
            try:
                question = msgspec.json.decode(await reader.readline(), type=Question)
                if question.do == "status":
                    write(Line(url=self._topology.url, rows=self._topology.rows(), done=True))
                else:
                    await self._topology.roll(lambda text: write(Line(text)))
                    write(Line("Every instance was replaced.", done=True))
            except (SettingsError, msgspec.DecodeError) as error:
                write(Line(str(error), done=True, failed=True))
            await writer.drain()
        writer.close()


def ask(folder: Path, question: Question) -> Iterator[Line]:
    """The answer of the topology that runs in a folder, line by line. Raises SettingsError when none does."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        try:
            with _short(folder.absolute() / SOCKET) as path:
                connection.connect(path)
        except OSError:
            raise SettingsError(f"No topology runs in {folder}. Start one with `ramet up`.") from None
        connection.sendall(msgspec.json.encode(question) + b"\n")
        with connection.makefile("rb") as answer:
            for text in answer:
                line = msgspec.json.decode(text, type=Line)
                yield line
                if line.done:
                    return
        raise SettingsError("The topology ended before it had answered.")
    finally:
        connection.close()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of a path that is short enough for a socket."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        yield str(path)
        return
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
