"""How the threads of a serving process share a core: only where nobody else has chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TAKE = "import os; from ramet.topology.single.server import take_turns; take_turns(); print(os.sched_getscheduler(0))"


def policy(*before: str) -> int:
    """The policy of a process that takes turns, started by the command `before`."""
    line = [*before, sys.executable, "-c", TAKE]
    return int(subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.parametrize(("chosen", "expected"), [((), os.SCHED_BATCH), (("chrt", "-i", "0"), os.SCHED_IDLE)])
def test_turns_are_taken_unless_the_process_was_given_a_policy(chosen: tuple[str, ...], expected: int) -> None:
    assert policy(*chosen) == expected
