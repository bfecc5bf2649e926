"""Disks that fill up or fail, under a server that runs: a file system of its own, or system calls made to fail.

As a program, `python -m tests.process.disks FOLDER BYTES COMMAND...` mounts a file system of so many bytes on the
folder, which only it and its children see, and becomes the command in it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


@contextmanager
def failing(pid: int, files: list[Path], calls: str, error: str) -> Iterator[None]:
    """Make these system calls of a process fail for these files; ends, and the files work again, with the block."""
    command = ["strace", "--quiet=exit,path-resolution", "-f", "-p", str(pid), "-o", os.devnull]
    for file in files:
        command += ["-P", str(file)]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    if os.geteuid():
        command = ["sudo", "-n", *command]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)


def can_mount() -> bool:
    """Whether this machine lets us have a file system of our own."""
    tried = subprocess.run([sys.executable, __file__, "/", "0", "true"], capture_output=True)
    return tried.returncode == 0


def fill(folder: Path) -> None:
    """Leave no byte free where this folder is."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (65_536, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def _main(folder: str, size: str, *command: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    _checked(libc.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _checked(libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None))
    if int(size):
        _checked(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={size}".encode()))
        os.chdir(folder)
    os.execvp(command[0], command)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
