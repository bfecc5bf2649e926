"""What went wrong, as sentences on the error stream, and the exit codes: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

from ramet.data.migrations.failures import MigrationError, MoveError
from ramet.errors import DeclarationError, Problem, SettingsError

REFUSED = 1
USAGE = 2


class Refused(Exception):
    """A command did not do what it was asked; the message says why and what to do."""


def guarded(work: Callable[[], object]) -> int:
    """Run a command; what a person can mend is told without a traceback. Gives the exit code."""
    try:
        work()
    except (Refused, DeclarationError, SettingsError, MigrationError, MoveError) as error:
        return _told(str(error))
    except Problem as problem:
        return _told("\n".join((problem.detail, *(f"  {f.pointer}: {f.detail}" for f in problem.faults))))
    except KeyboardInterrupt:
        return _told("Stopped.")
    except BrokenPipeError:  # the reader of our output has gone, which is its right
        sys.stdout = None  # or the interpreter complains at its end
        return REFUSED
    except Exception as error:
        return _told(_own_code(error))
    return 0


def _told(text: str) -> int:
    if text:
        sys.stderr.write(text + "\n")
    return REFUSED


def _own_code(error: Exception) -> str:
    """A failure in the application's code or in ours: the application's frames help, those of libraries do not."""
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)] or frames[-1:]
    return "".join(traceback.format_list(shown)) + "".join(traceback.format_exception_only(error)).rstrip()


_LIBRARIES = (
    str(Path(__file__).resolve().parent.parent),
    *sysconfig.get_paths().values(),
    "<frozen",
)
