"""Entity tags and what depends on them, after RFC 9110 sections 8.8.3 and 13.1.

One record or list has one tag; each content coding of it has its own, made by a suffix: `"abc"`, `"abc-gzip"`. Clients
send back whichever they got, and all of them stand for the same content, so a comparison drops the suffix.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

from ramet.errors import Problem

ANY = "*"

Tags: TypeAlias = tuple[tuple[bool, str], ...]
"""Whether each tag is weak, and the tag in its quotes."""

# Possessive: between two ways to divide a run of blanks, a header of blanks would take a second to refuse.
_ELEMENT = re.compile(r'[ \t]*+(?:(W/)?("[\x21\x23-\x7e]*"))?[ \t]*+(?:,|$)')
_SUFFIX = re.compile(r'-(?:zstd|br|gzip)"$')
_REMEMBERED = 1_024
_SHORT = 256
_LONGEST = 8_192


def with_encoding(etag: str, encoding: str) -> str:
    """The tag of one coding of what `etag` stands for; the same tag for the encoding ""."""
    return f'{etag[:-1]}-{encoding}"' if encoding else etag


def without_encoding(etag: str) -> str:
    """The tag of the content itself. Our tags never end in the name of a coding, so none is cut by mistake."""
    return _SUFFIX.sub('"', etag)


def parse_etags(header: str, name: str) -> Tags:
    """The tags in an `If-Match` or `If-None-Match` (`name`), suffixes dropped; the tag ANY for `*`.

    Raises Problem `invalid_header` when it is neither a list of quoted tags nor `*`.
    """
    parsed: Tags = ()
    if len(header) <= _LONGEST:
        parsed = _parse(header) if len(header) <= _SHORT else _parse.__wrapped__(header)
    if not parsed:
        raise Problem("invalid_header", f"`{name}` takes `*` or entity tags in double quotes, separated by commas.")
    return parsed


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's copy is current, which a read answers with 304. Weak comparison; `etag` without suffix."""
    if if_none_match is None:
        return False
    if if_none_match == etag:
        return True
    bare = etag.removeprefix("W/")
    return any(tag in {bare, ANY} for _, tag in parse_etags(if_none_match, "if-none-match"))


@lru_cache(maxsize=_REMEMBERED)
def _parse(header: str) -> Tags:
    text = header.strip()
    if text == ANY:
        return ((False, ANY),)
    tags: list[tuple[bool, str]] = []
    position = 0
    while position < len(text):
        match = _ELEMENT.match(text, position)
        if match is None:
            return ()
        if match[2]:
            tags.append((match[1] is not None, without_encoding(match[2])))
        position = match.end()
    return tuple(tags)
