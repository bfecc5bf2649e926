"""One worker process for test_shared.py, which does what it is told on stdin and answers each line with one.

`open DIRECTORY` opens the table there. `take SUBJECT TIMES NOW` answers with how many were admitted. `seize SUBJECT`
never ends by itself: it stops in the middle of a change, with the lock of the subject's set held, and says so.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ramet.limits.counters import LocalCounters
from ramet.limits.policy import Policy
from ramet.limits.table import SharedTable

POLICY = Policy("caller", 20_000, 60)
SLOTS = 64


class Stopping(SharedTable):
    """Stops for ever after it has claimed a slot, before it counts."""

    def _claim(self, subject: str, now_ns: int) -> int:
        super()._claim(subject, now_ns)
        say("seized")
        while True:
            signal.pause()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    table = None
    say("ready")
    for line in sys.stdin:
        command, subject, *numbers = line.split()
        if command == "open":
            table = LocalCounters(Path(subject), SLOTS).open(POLICY)
            say("opened")
            continue
        assert table is not None
        if command == "seize":
            table.__class__ = Stopping
            table.take(subject, 1, 0)
        times, now = map(int, numbers)
        say(str(sum(table.take(subject, 1, now).admitted for _ in range(times))))


if __name__ == "__main__":
    main()
