"""From an annotation to a field."""

from __future__ import annotations

import enum
import types
from datetime import date, datetime
from decimal import ROUND_CEILING
from decimal import Decimal as Number
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from ramet.declare.fields.base import Field, Marks
from ramet.declare.fields.boolean import Boolean
from ramet.declare.fields.date import Date
from ramet.declare.fields.datetime import DateTime
from ramet.declare.fields.decimal import Decimal
from ramet.declare.fields.email import EmailAddress
from ramet.declare.fields.enumeration import Enumeration
from ramet.declare.fields.float import Float
from ramet.declare.fields.integer import HIGHEST, LOWEST, Integer
from ramet.declare.fields.json import JsonValue
from ramet.declare.fields.list import ListOf
from ramet.declare.fields.reference import ON_DELETE, Reference
from ramet.declare.fields.text import Text
from ramet.declare.fields.url import WebAddress
from ramet.declare.names import nearest
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
from ramet.declare.words import words_of

KNOWN = "str, int, float, bool, Decimal, date, datetime, Literal, Enum, Email, Url, Json, list[...] or a str with Ref"


def build_field(annotation: Any) -> Field:
    """The field that an annotation declares. Raises ValueError with a sentence on what to mend."""
    kind, words, optional = _unfold(annotation)
    found = words_of(kind, words)
    field = _field_of(kind, found)
    field.optional = optional or isinstance(field, JsonValue)  # JSON has a null of its own
    field.marks = Marks(
        unique=Unique in found,
        hidden=Hidden in found,
        read_only=ReadOnly in found,
        write_once=WriteOnce in found,
        help=found[Help].text if Help in found else "",
    )
    return field


def _unfold(annotation: Any) -> tuple[Any, list[Any], bool]:
    """Takes `Annotated` and `| None` apart: the bare type, the words beside it, whether null is allowed."""
    words: list[Any] = []
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            words.extend(_word(word) for word in more)
        elif get_origin(annotation) in (Union, types.UnionType):
            members = [member for member in get_args(annotation) if member is not types.NoneType]
            if len(members) != 1 or len(members) == len(get_args(annotation)):
                raise ValueError("a field has one type, or one type and None; use Json for a mixture")
            annotation = members[0]
            optional = True
        else:
            return annotation, words, optional


def _word(word: Any) -> Any:
    if not (isinstance(word, type) and issubclass(word, msgspec.Struct)):
        return word
    try:
        return word()
    except TypeError:
        raise ValueError(
            f"has {word.__name__} beside its type, which needs its brackets: {word.__name__}(...)"
        ) from None


def _field_of(kind: Any, words: dict[type, Any]) -> Field:
    if JsonFormat in words:
        return JsonValue(words[JsonFormat].max_bytes)
    if get_origin(kind) is Literal:
        values = get_args(kind)
        if not all(isinstance(value, str) for value in values):
            raise ValueError("the values of a Literal are texts")
        return Enumeration(values)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        raise ValueError(f"write Literal[{', '.join(repr(member.value) for member in kind)}] instead of an Enum")
    if kind is list or get_origin(kind) is list:
        return _list(kind, words)
    if kind is str:
        return _text(words)
    if kind is int:
        limits = words.get(Range, Range())
        return Integer(
            LOWEST if limits.min is None else int(limits.min), HIGHEST if limits.max is None else int(limits.max)
        )
    if kind is float:
        limits = words.get(Range, Range())
        return Float(
            None if limits.min is None else float(limits.min), None if limits.max is None else float(limits.max)
        )
    if kind is Number:
        return _decimal(words)
    simple: dict[Any, type[Field]] = {bool: Boolean, date: Date, datetime: DateTime}
    if kind in simple:
        return simple[kind]()
    name = getattr(kind, "__name__", repr(kind))
    raise ValueError(f"{name} is not a type Ramet stores; use {KNOWN}")


def _list(kind: Any, words: dict[type, Any]) -> Field:
    if len(get_args(kind)) != 1:
        raise ValueError("a list says what it holds, as list[str]; use Json for a mixture")
    item = build_field(get_args(kind)[0])
    marks = item.marks
    if marks.unique or marks.hidden or marks.read_only or marks.write_once or isinstance(item, Reference):
        raise ValueError(
            "has a word beside what the list holds that goes with a whole field only: move Unique, Hidden, ReadOnly "
            "and WriteOnce to the list, and make records of another resource of what has a Ref"
        )
    return ListOf(item, words[Items].max if Items in words else 100)


def _text(words: dict[type, Any]) -> Field:
    if Ref in words:
        return _reference(words[Ref])
    if EmailFormat in words:
        return EmailAddress()
    if UrlFormat in words:
        return WebAddress()
    length = words.get(Length, Length())
    if not 0 <= length.min <= length.max or length.max < 1:
        raise ValueError(f"Length({length.min}, {length.max}) allows no text; give a least and a greatest length")
    pattern = words[Pattern].expression if Pattern in words else None
    return Text(length.min, length.max, pattern)


def _reference(ref: Ref) -> Field:
    target = ref.target if isinstance(ref.target, str) else getattr(ref.target, "__name__", None)
    if not target:
        raise ValueError(f"Ref({ref.target!r}) names no resource: give its class, or its name as text")
    if ref.on_delete not in ON_DELETE:
        near = nearest(str(ref.on_delete), ON_DELETE)
        raise ValueError(f"there is no on_delete={ref.on_delete!r}.{near} Write one of {', '.join(ON_DELETE)}")
    return Reference(target, ref.on_delete)


def _decimal(words: dict[type, Any]) -> Field:
    digits = words.get(Digits, Digits())
    if not 0 <= digits.places <= digits.total <= 18 or digits.total < 1:
        raise ValueError(
            f"Digits({digits.total}, {digits.places}) is not possible; at most 18 in all, fewer after the point"
        )
    limits = words.get(Range, Range())
    least, most = (None if bound is None else Number(str(bound)) for bound in (limits.min, limits.max))
    step = Number(1).scaleb(-digits.places)
    beyond = Number(10) ** (digits.total - digits.places)
    first = -beyond + step if least is None else max(least, -beyond + step)
    last = beyond - step if most is None else min(most, beyond - step)
    if first.quantize(step, ROUND_CEILING) > last:
        raise ValueError(f"has {limits!r}, which allows no number of Digits({digits.total}, {digits.places})")
    return Decimal(digits.total, digits.places, least, most)
