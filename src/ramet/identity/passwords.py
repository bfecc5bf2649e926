"""Passwords: which new ones are accepted, and argon2id in a few threads that give way to requests.

argon2-cffi releases the interpreter's lock while it hashes, so hashing threads only compete for processor time. On
Linux niceness belongs to the thread, so they get less of it than the threads that serve requests: a storm of sign-ins
takes what is left over.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import functools
import importlib.resources
import itertools
import os
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from ramet.errors import Fault, Problem, SettingsError

P = ParamSpec("P")
T = TypeVar("T")

SHORTEST = 8
LONGEST = 128
# Weight 110 of 1024 in the kernel's scheduler. Lower still would starve sign-ins on a busy core, and would keep the
# interpreter's lock longer when a hashing thread is displaced just after it has taken it.
NICENESS = 10
_M_MMAP_THRESHOLD = -3
_LARGE = 1_048_576
# The most that one character decomposes into, so that 128 decomposed characters still fit.
_LONGEST_RAW = LONGEST * 4
_SPACES = dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")


def prepare(password: str, *, pointer: str = "/password") -> str:
    """The form that is hashed and compared, by RFC 8265 OpaqueString: NFC, every space U+0020, case kept.

    Raises Problem("invalid_input") for more than 128 characters, control characters (NUL is one) and lone surrogates.
    """
    faults, prepared = _prepare(password, pointer)
    if faults:
        raise Problem("invalid_input", "The password cannot be used.", faults=faults)
    return prepared


def _prepare(password: str, pointer: str) -> tuple[list[Fault], str]:
    if len(password) > _LONGEST_RAW or len(prepared := unicodedata.normalize("NFC", password)) > LONGEST:
        return [Fault(pointer, "too_long", f"A password has at most {LONGEST} characters.")], ""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in prepared):
        return [Fault(pointer, "invalid_characters", "A password has no control characters.")], ""
    return [], prepared.translate(_SPACES)


def check_new(password: str, *, email: str, pointer: str = "/password") -> list[Fault]:
    """What is wrong with a password somebody wants to use; empty when it is accepted.

    From 8 to 128 characters of any kind. Refused: those that many people choose, runs and repeats, and the account's
    own e-mail address or its local part; all without regard to case.
    """
    faults, prepared = _prepare(password, pointer)
    if faults:
        return faults
    if len(prepared) < SHORTEST:
        return [Fault(pointer, "too_short", f"A password has at least {SHORTEST} characters.")]
    folded = prepared.casefold()
    address = unicodedata.normalize("NFC", email).casefold()
    if folded in (address, address.partition("@")[0]):
        return [Fault(pointer, "same_as_email", "A password must differ from the e-mail address.")]
    if _is_run(folded) or _is_repeat(folded) or f"\n{folded}\n".encode() in _common():
        return [Fault(pointer, "common_password", "Many people use this password; choose another, or several words.")]
    return []


def _is_run(word: str) -> bool:
    """Whether it only counts up, counts down, or stands still: abcdefgh, 87654321, aaaaaaaa."""
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(word)}
    return len(steps) == 1 and steps <= {-1, 0, 1}


def _is_repeat(word: str) -> bool:
    """Whether it is a piece shorter than a password, two or more times: abababab, adminadmin."""
    period = (word + word).find(word, 1)
    return period < min(len(word), SHORTEST)


@functools.cache
def _common() -> bytes:
    """The list, one word between two line feeds, to be searched as it is: 0.1 MB instead of 1.2 MB as a set."""
    text = importlib.resources.files(__package__).joinpath("common_passwords.txt").read_bytes()
    return b"\n" + text.partition(b"\n\n")[2]


class Passwords:
    """Hashes and verifies passwords with argon2id in `threads` threads, with at most `waiting` more in the queue.

    `memory` is KiB for each hash; `passes` over it and a parallelism of 1 follow OWASP's password storage sheet
    (m=19456, t=2, p=1). Beyond the queue's bound, Problem("overloaded") with the expected wait in `retry_after`.
    A caller who gives up while still queued costs nothing more. `hashed` counts the hashes that were computed.
    """

    def __init__(self, *, threads: int, memory: int, passes: int = 2, waiting: int = 64) -> None:
        if threads < 1:
            raise SettingsError(f"RAMET_PASSWORD_THREADS: {threads} is too few; use 1 or more.")
        if memory < 8:
            raise SettingsError(f"RAMET_PASSWORD_MEMORY: {memory} KiB is too little; argon2 takes 8 or more.")
        _give_memory_back()
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1)
        self._nobody = _unmatchable(memory, passes)
        self._executor = ThreadPoolExecutor(threads, "password", _give_way)
        self._threads = threads
        self._bound = threads + waiting
        self._lock = threading.Lock()
        self._pending = 0
        self._seconds = 0.05
        self.hashed = 0

    async def hash(self, password: str) -> str:
        """The encoded hash to store. Raises Problem invalid_input, overloaded or unavailable."""
        return await self._run(self._hasher.hash, prepare(password))

    async def verify(self, hash: str | None, password: str, *, pointer: str = "/password") -> bool:
        """Whether `password` belongs to `hash`. None (no such account) takes the same work and is never true.

        Raises Problem invalid_input, overloaded or unavailable, none of which depends on the account.
        """
        return await self._run(self._verify, hash, prepare(password, pointer=pointer))

    def needs_rehash(self, hash: str) -> bool:
        """Whether a hash that just verified was made with other costs than today's, so that it should be replaced."""
        try:
            return self._hasher.check_needs_rehash(hash)
        except InvalidHashError:
            return True

    @property
    def pending(self) -> int:
        """Hashes under way or waiting."""
        return self._pending

    def close(self) -> None:
        """Lets the hash under way end and cancels what waits; for when no request is left."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hash: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(hash or self._nobody, password)
        except VerifyMismatchError:
            return False
        except InvalidHashError:
            return self._verify(None, password)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            if self._pending >= self._bound:
                wait = self._pending * self._seconds / self._threads
                raise Problem("overloaded", "Too many sign-ins at once.", retry_after=max(1.0, wait))
            self._pending += 1
        try:
            future = self._executor.submit(self._timed, functools.partial(work, *args, **kwargs))
        except RuntimeError:  # closed
            self._settle()
            raise Problem("unavailable", "The server is stopping.", retry_after=1.0) from None
        future.add_done_callback(self._settle)
        try:
            return await asyncio.wrap_future(future)
        except Argon2Error as error:  # no memory, or a stored hash that is damaged
            raise Problem("unavailable", "Passwords cannot be checked now.", retry_after=5.0) from error

    def _timed(self, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return work()
        finally:
            seconds = time.perf_counter() - started
            with self._lock:
                self.hashed += 1
                self._seconds += (seconds - self._seconds) / 8

    def _settle(self, future: Future[T] | None = None) -> None:
        with self._lock:
            self._pending -= 1


def _give_memory_back() -> None:
    """Has glibc return the memory of each hash to the system instead of keeping it for the next.

    Its threshold for doing so grows with the first large block that is freed, unless it is set.
    """
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such switch, and no such habit
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _give_way() -> None:
    """Makes the calling thread, and on Linux only that, nicer than it was."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox may forbid it; hashing works all the same
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


def _unmatchable(memory: int, passes: int) -> str:
    """An encoded hash with the given costs that is the hash of nothing anybody will find."""
    salt, digest = (base64.b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={memory},t={passes},p=1${salt}${digest}"
