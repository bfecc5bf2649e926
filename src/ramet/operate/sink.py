"""Writes lines to a descriptor without ever waiting for whoever reads it.

A reader that stops reading must not stop the server, and a server's standard output is shared: with other workers,
with the process that started them, with a shell. So the descriptor is opened anew where that is possible, which
makes it non-blocking for us alone, and into a pipe go whole lines of at most PIPE_BUF bytes at once, which the
kernel keeps in one piece (POSIX `write`).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable

BOUND = 4 * 1024 * 1024
_ONE_WRITE = 1024 * 1024


class Sink:
    """Lines on their way to a descriptor: at most `bound` bytes wait, later ones are dropped and counted.

    `notice` makes the line that tells how many were dropped; it is written as soon as there is room again.
    Not safe for threads; the owner holds a lock.
    """

    def __init__(self, fd: int, notice: Callable[[int], bytes], *, bound: int = BOUND) -> None:
        self.waiting = 0
        self.dropped = 0
        self._notice = notice
        self._bound = bound
        self._told = 0
        self._stuck = False
        self._blobs: deque[bytes] = deque()
        self._sent = 0  # bytes of the first blob
        self._socket: socket.socket | None = None
        self._fd = self._open(fd)
        self._largest = select.PIPE_BUF if stat.S_ISFIFO(os.fstat(self._fd).st_mode) else _ONE_WRITE

    def put(self, lines: bytes) -> None:
        """Takes whole lines, or drops them when too much waits already."""
        if self.waiting + len(lines) > self._bound:
            self.dropped += lines.count(b"\n")
            return
        self._blobs.append(lines)
        self.waiting += len(lines)

    def flush(self, wait: float = 0.0) -> bool:
        """Writes what the reader takes; True when nothing waits any more.

        When the reader takes no more it returns at once, or after at most `wait` seconds in all. A reader for whom
        somebody has waited in vain is not waited for again until it takes something.
        """
        give_up = time.monotonic() + (0.0 if self._stuck else wait)
        while self._blobs:
            try:
                self._advance(self._write(self._piece()))
                self._stuck = False
            except BlockingIOError:
                left = give_up - time.monotonic()
                if left > 0 and self._writable(left):
                    continue
                self._stuck = self._stuck or wait > 0
                return False
            except OSError:  # nobody reads, or the disk is full: what waits is lost, the next lines are tried again
                self._lose()
                return False
            if not self._blobs and self.dropped > self._told:
                self._tell()
        return True

    def close(self, wait: float = 0.0) -> None:
        """Flushes, counts what could not be written as dropped, and gives the descriptor back."""
        if not self.flush(wait):
            self._lose()
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._fd)

    def _open(self, fd: int) -> int:
        try:
            mode = os.fstat(fd).st_mode
        except OSError:  # started without the descriptor
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        own = os.dup(fd)  # ours stays what it is when the number is closed and given to another file
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=own)
            return own
        if stat.S_ISREG(mode):
            return own
        with contextlib.suppress(OSError):
            again = os.open(f"/dev/fd/{own}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            os.close(own)
            own = again
        os.set_blocking(own, False)
        return own

    def _write(self, piece: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(piece, socket.MSG_DONTWAIT)
        return os.write(self._fd, piece)

    def _piece(self) -> memoryview:
        """As many whole lines as go in one write, or one longer line."""
        blob, start = self._blobs[0], self._sent
        end = start + self._largest
        if end < len(blob):
            end = blob.rfind(b"\n", start, end) + 1 or blob.find(b"\n", start) + 1
        return memoryview(blob)[start:end]

    def _advance(self, count: int) -> None:
        self._sent += count
        self.waiting -= count
        if self._sent >= len(self._blobs[0]):
            self._blobs.popleft()
            self._sent = 0

    def _writable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _lose(self) -> None:
        lost = sum(blob.count(b"\n") for blob in self._blobs)
        if self._blobs:
            lost -= self._blobs[0].count(b"\n", 0, self._sent)
        self.dropped += lost
        self._blobs.clear()
        self._sent = self.waiting = 0

    def _tell(self) -> None:
        lost, self._told = self.dropped - self._told, self.dropped
        self.put(self._notice(lost))
