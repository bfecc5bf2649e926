"""From class names to addresses, and the nearest right name for a wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST = 80
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def plural_path(name: str) -> str:
    """The address of a class: `TaskList` -> `task-lists`, `Category` -> `categories`."""
    word = _HUMP.sub("-", name).lower()
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    return word + "s"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like a wrong one, as ` Did you mean 'x'?`, or nothing when none is near.

    What is far longer than any name is like none: comparing takes a time that grows with its length.
    """
    if len(name) > LONGEST:
        return ""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{match[0]}'?" if match else ""
