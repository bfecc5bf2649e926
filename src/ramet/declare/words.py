"""Which words beside a type fit it, and that what they allow is possible."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal as Number
from typing import Any, Literal, get_origin

from ramet.declare.fields.integer import HIGHEST, LOWEST
from ramet.declare.types import (
    Digits,
    EmailFormat,
    Help,
    Hidden,
    Items,
    JsonFormat,
    Length,
    Pattern,
    Range,
    ReadOnly,
    Ref,
    Unique,
    UrlFormat,
    WriteOnce,
)

MARKS = (Unique, Hidden, ReadOnly, WriteOnce, Help)
"""Words that go with any type."""
FORMATS = (Ref, EmailFormat, UrlFormat, JsonFormat)
"""Words that make a type of their own, which takes no other word but marks."""
FITTING: dict[Any, tuple[type, ...]] = {
    str: (Length, Pattern, Ref, EmailFormat, UrlFormat),
    int: (Range,),
    float: (Range,),
    Number: (Range, Digits),
    list: (Items,),
    Any: (JsonFormat,),
    bool: (),
    date: (),
    datetime: (),
    Literal: (),
}
"""Words by the type that they go with."""
GREATEST = 100_000_000
"""Characters, items or bytes that a word may allow: far more than a request can bring."""


def words_of(kind: Any, words: Iterable[Any]) -> dict[type, Any]:
    """The words beside a type by their own types. Raises ValueError with a sentence on one that does not fit."""
    fitting = FITTING.get(get_origin(kind) or kind, ())
    found: dict[type, Any] = {}
    for word in words:
        kept = found.setdefault(type(word), word)
        if kept != word:
            raise ValueError(f"has two words of one kind, {kept!r} and {word!r}: keep one of them")
    for sort, word in found.items():
        if sort in MARKS:
            continue
        if sort not in {one for many in FITTING.values() for one in many}:
            known = ", ".join(one.__name__ for one in (*MARKS, *fitting))
            hint = f"a sentence about it is Help({word!r})" if isinstance(word, str) else f"beside it may stand {known}"
            raise ValueError(f"has {word!r} beside its type, which means nothing to Ramet: {hint}")
        if kind in FITTING or get_origin(kind) in FITTING:
            _check_fit(kind, sort, fitting, found)
    _check_marks(found)
    _check_possible(kind, found)
    return found


def _check_fit(kind: Any, sort: type, fitting: tuple[type, ...], found: dict[type, Any]) -> None:
    name = getattr(kind, "__name__", str(kind))
    if sort not in fitting:
        takes = f"takes {', '.join(one.__name__ for one in fitting)}" if fitting else "takes no word of this kind"
        raise ValueError(f"has {sort.__name__} beside {name}, which {takes}: take {sort.__name__} out")
    other = next((one for one in FORMATS if one in found and one is not sort), None)
    if other is not None:
        raise ValueError(
            f"has {sort.__name__} beside {other.__name__}, which says all about the text: take {sort.__name__} out"
        )


def _check_marks(found: dict[type, Any]) -> None:
    if ReadOnly in found and WriteOnce in found:
        raise ValueError("is ReadOnly, so that nobody gives it, and WriteOnce, so that somebody does: keep one of them")
    if Help in found and not isinstance(found[Help].text, str):
        raise ValueError(f"has {found[Help]!r}: give Help a text")


def _check_possible(kind: Any, found: dict[type, Any]) -> None:
    if Length in found:
        length = found[Length]
        _check_count(length, length.min, 0)
        _check_count(length, length.max, 0)
    if Items in found:
        _check_count(found[Items], found[Items].max, 1)
    if JsonFormat in found:
        _check_count(found[JsonFormat], found[JsonFormat].max_bytes, 2)
    if Digits in found:
        _check_count(found[Digits], found[Digits].total, 0)
        _check_count(found[Digits], found[Digits].places, 0)
    if Range in found:
        _check_range(kind, found[Range])
    if Pattern in found:
        _check_pattern(found[Pattern])


def _check_pattern(pattern: Pattern) -> None:
    expression: Any = pattern.expression
    try:
        re.compile(expression)
        re.compile(rf"^(?:{expression})$(?!\n)")  # as it is used, where flags for all of it cannot stand
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"has {pattern!r}, which is not a regular expression ({error}): mend it") from None


def _check_count(word: Any, number: Any, least: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= GREATEST:
        raise ValueError(f"has {word!r}: give whole numbers from {least} to {GREATEST}")


def _check_range(kind: Any, limits: Range) -> None:
    bounds: tuple[Any, ...] = (limits.min, limits.max)
    for bound in bounds:
        if bound is None:
            continue
        if isinstance(bound, bool) or not isinstance(bound, int | float | Number) or not math.isfinite(bound):
            raise ValueError(f"has {limits!r}: a bound is a finite number; leave out one that bounds nothing")
        if kind is int and (bound != int(bound) or not LOWEST <= bound <= HIGHEST):
            raise ValueError(f"has {limits!r}: bounds of an int are whole numbers of at most 64 bits")
    if limits.min is not None and limits.max is not None and limits.min > limits.max:
        raise ValueError(f"has {limits!r}, which allows no number: give the least first, then the greatest")
