"""From class names to addresses, and the nearest right name for a wrong one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

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
    """The known name most like a wrong one, as ` Did you mean 'x'?`, or nothing when none is near."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{match[0]}'?" if match else ""
