"""Hides secrets in what leaves the process: by the name of a key, and by the look of a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
LONGEST = 32_768  # characters of one value in a log line
DEEPEST = 6  # levels of one value; also ends cycles

_WORDS = r"passw(?:or)?d|passphrase|token|authorization|cookie|secret|api[_-]?key|credential"
_KEY = re.compile(_WORDS, re.IGNORECASE)
_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(?:rt_[\w-]{16,}|eyJ[\w-]{8,}(?:\.[\w-]*){0,4})"  # a refresh token; a JWT or JWE
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # the user and password of a URL
    r"|(?<=\bbearer )[\w.~+/=-]{8,}|(?<=\bbasic )[\w.~+/=-]{8,}"
    rf"|(?<![A-Za-z])(?P<name>[\w-]{{0,32}}(?:{_WORDS})\w{{0,32}}[\"']?\s?[=:]\s?[\"']?)"  # lengths keep this linear
    r"(?!bearer |basic |\*\*\*)[^\s\"',;&)}\]]+",
    re.IGNORECASE,
)
_DIRECTORY = re.compile(r"(?<![\w/:.])/[\w.@+-]+(?:/[\w.@+-]*)+")


@lru_cache(maxsize=1024)
def hides(key: str) -> bool:
    """Whether a value under this key is never shown: passwords, tokens, cookies and the like."""
    return _KEY.search(key) is not None


def mask_text(text: str) -> str:
    """The text, cut to `LONGEST`, with everything that looks like a secret replaced by `***`."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text) - LONGEST} more characters)"
    return _VALUE.sub(_masked, text)


def mask_paths(text: str) -> str:
    """The text with absolute file names replaced by `…`: for documents that anybody may read."""
    return _DIRECTORY.sub("…", text)


def mask(value: Any, depth: int = 0) -> Any:
    """A copy of `value` made of plain JSON types, without secrets. What has no JSON form is shown by its `str`."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return mask_text(bytes(value).decode("utf-8", "backslashreplace"))
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return mask_items(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(item, depth + 1) for item in value]
    return mask_text(str(value))


def mask_items(items: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """A mapping with secret keys hidden whole; an absent secret (None, or a flag) is shown as it is."""
    pairs: Iterable[tuple[str, Any]] = ((str(key), value) for key, value in items.items())
    return {
        key: MASK if hides(key) and value is not None and not isinstance(value, bool) else mask(value, depth + 1)
        for key, value in pairs
    }


def _masked(match: re.Match[str]) -> str:
    return f"{match['name'] or ''}{MASK}"
