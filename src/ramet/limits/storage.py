"""The memory of a table of counters: anonymous for one process, a mapped file for the workers of one machine."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path

import msgspec

from ramet.limits.policy import Policy

WAYS = 8
SET_BYTES = 512
HEADER_BYTES = 512

_MAGIC = b"RAMETLIM"
_FORMAT = 1
_HEADER = struct.Struct("=8sIIII40s16s")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Region(msgspec.Struct, frozen=True):
    """Zeroed or shared memory for `slots` slots behind the header; `key` is what subjects are hashed with.

    `descriptor` is the mapped file, for its locks; None when the memory is this process's own.
    """

    memory: mmap.mmap
    slots: int
    key: bytes
    descriptor: int | None


def anonymous(slots: int) -> Region:
    """Memory of this process alone, taken from the system only as it is touched."""
    return Region(mmap.mmap(-1, _size(slots)), slots, os.urandom(16), None)


def shared(path: Path, slots: int, policy: Policy) -> Region:
    """The mapped file at `path`, made on first use; raises OSError.

    A file of an earlier boot (another clock), of another size or another policy is replaced, never changed in place:
    who still has the old one mapped keeps it. The directory is locked meanwhile, so that all find the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    guard = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        key = _key_of(path, slots, policy)
        if key is None:
            key = _make(path, slots, policy)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(guard)
    return Region(mmap.mmap(descriptor, _size(slots)), slots, key, descriptor)


def _make(path: Path, slots: int, policy: Policy) -> bytes:
    key = os.urandom(16)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        # Written out rather than left sparse: a hole touched later on a full disk would kill the process (SIGBUS).
        file.write(_header(slots, policy, key).ljust(_size(slots), b"\0"))
    new.replace(path)
    return key


def _key_of(path: Path, slots: int, policy: Policy) -> bytes | None:
    """The key in the header of a file that fits; None when there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            whole = os.fstat(file.fileno()).st_size == _size(slots)
    except FileNotFoundError:
        return None
    key = head[-16:]
    return key if whole and head == _header(slots, policy, key) else None


def _header(slots: int, policy: Policy, key: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _FORMAT, slots, policy.count, policy.window, _boot(), key)


def _boot() -> bytes:
    """This boot of the machine; empty where the system does not tell."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""


def _size(slots: int) -> int:
    if slots < WAYS or slots & (slots - 1):
        raise ValueError(f"slots must be a power of two, at least {WAYS}; not {slots}")
    return HEADER_BYTES + slots // WAYS * SET_BYTES
