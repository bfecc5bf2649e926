"""From JSON to checked values. Every fault is reported, each with its JSON pointer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from ramet.declare.fields.base import Field
from ramet.declare.fields.integer import Integer
from ramet.declare.fields.json import depth
from ramet.declare.names import nearest
from ramet.errors import Fault, Problem

MAX_DEPTH = 40
MAX_FAULTS = 100
_PAIRS = {str: 2, datetime: 2, date: 2, int: 1, float: 1, bool: 1, type(None): 1, type(msgspec.UNSET): 0}
"""The pairs of quotation marks that a key and its value take, by the type of the decoded value; none without a key."""


class _DuplicateKey(ValueError):
    pass


def decode_input(
    source: bytes | Mapping[str, Any] | None,
    decoder: msgspec.json.Decoder[Any],
    fields: Mapping[str, Field],
    checked: Iterable[Field],
) -> Any:
    """A Struct of the decoder's type. Raises Problem `invalid_json` or `invalid_input`."""
    try:
        if isinstance(source, bytes):
            value = decoder.decode(source)
            if not _surely_single(source, value):
                found = json.loads(source, object_pairs_hook=_no_duplicates)
                if b"\\u0000" in source and _has_nul(found):
                    raise msgspec.ValidationError
        else:
            value = msgspec.convert(source or {}, decoder.type)
            if _has_nul(source):
                raise msgspec.ValidationError
        wrong = False
        for field in checked:  # each is converted, also after a fault
            if _wrong(field, value):
                wrong = True
        if not wrong:
            return value
    except msgspec.ValidationError:
        found = parse_json(source) if isinstance(source, bytes) else source
        whole = _with_whole_numbers(found, fields)
        if whole is not None:
            return decode_input(whole, decoder, fields, checked)
        raise Problem("invalid_input", faults=_faults(found, decoder.type, fields)) from None
    except _DuplicateKey as error:
        raise Problem("invalid_json", f"The key {str(error)!r} occurs twice in one object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Problem("invalid_json", _sentence(error)) from None
    raise Problem("invalid_input", faults=_faults(source, decoder.type, fields))


def parse_json(source: bytes) -> Any:
    """Any JSON value with the same strictness. Raises Problem `invalid_json`."""
    try:
        value = msgspec.json.decode(source)
        json.loads(source, object_pairs_hook=_no_duplicates)
    except _DuplicateKey as error:
        raise Problem("invalid_json", f"The key {str(error)!r} occurs twice in one object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Problem("invalid_json", _sentence(error)) from None
    if depth(value) > MAX_DEPTH:
        raise Problem("invalid_json", f"The body is nested deeper than {MAX_DEPTH} levels.")
    return value


def _surely_single(source: bytes, value: Any) -> bool:
    """Whether no key can occur twice: without escapes, quotation marks come in pairs, one for each key and each text.

    Decoding keeps one of two equal keys, so there would be more pairs than what was decoded accounts for. Says no
    where it cannot tell: then the text is read again, key by key.
    """
    if b"\\" in source:
        return False
    pairs = 0
    try:
        for given in msgspec.structs.astuple(value):
            pairs += _PAIRS[given.__class__]
    except KeyError:
        return False
    return source.count(b'"') == 2 * pairs


def _with_whole_numbers(values: Any, fields: Mapping[str, Field]) -> Mapping[str, Any] | None:
    """The input with `2.0` as `2` where whole numbers belong, the same to JSON Schema; None without any."""
    if not isinstance(values, Mapping):
        return None
    found = {}
    for name, value in values.items():
        field = fields.get(name)
        if isinstance(field, Integer) and isinstance(value, float) and value.is_integer():
            found[name] = int(value)
    return {**values, **found} if found else None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key[:80])
            seen.add(key)
    return found


def _wrong(field: Field, value: Any) -> bool:
    """Whether a value does not pass its second look; one that does becomes its Python value."""
    given = getattr(value, field.name, None)
    if given is None or given is msgspec.UNSET:
        return False
    if field.check(given) is not None:
        return True
    setattr(value, field.name, field.from_json(given))
    return False


def _faults(source: bytes | Mapping[str, Any] | None, kind: Any, fields: Mapping[str, Field]) -> list[Fault]:
    """Looks at each value on its own, so that all faults are found and not only the first."""
    values = parse_json(source) if isinstance(source, bytes) else {} if source is None else source
    if not isinstance(values, Mapping):
        return [Fault("", "wrong_type", "Expected an object.")]
    declared = {field.name: field for field in msgspec.structs.fields(kind)}
    faults = [
        Fault(f"/{name}", "required", "This field is required.")
        for name, field in declared.items()
        if field.required and name not in values
    ]
    for name, value in values.items():
        if len(faults) >= MAX_FAULTS:
            break  # looking at each of a million would keep everybody else waiting
        pointer = "/" + str(name).replace("~", "~0").replace("/", "~1")[:200]
        if name not in declared:
            faults.append(
                Fault(pointer, "unknown_field", f"There is no field of this name to set.{nearest(name, declared)}")
            )
            continue
        wrong = _fault_of(declared[name].type, fields[name], value)
        if wrong is not None:
            faults.append(Fault(pointer + wrong[0], wrong[1], wrong[2]))
    return faults[:MAX_FAULTS]


def _fault_of(kind: Any, field: Field, value: Any) -> tuple[str, str, str] | None:
    """The rest of the pointer, code and sentence of what is wrong with one value."""
    try:
        converted = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return _located(str(error))
    wrong = field.check(converted) if field.checked and converted is not None else None
    if wrong is not None:
        return "", "invalid_value", wrong + "."
    if _has_nul(value):
        return "", "invalid_value", "Expected text without NUL characters."
    return None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _located(message: str) -> tuple[str, str, str]:
    """msgspec names the place as `... - at `$[1].name``: that becomes a JSON pointer."""
    sentence, _, place = message.partition(" - at `$")
    pointer = place.rstrip("`").replace("[...]", "").replace("[", "/").replace("]", "").replace(".", "/")
    code = "wrong_type" if sentence.startswith("Expected `") and ", got " in sentence else "invalid_value"
    return pointer, code, sentence + "."


def _sentence(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"The body is nested deeper than {MAX_DEPTH} levels."
    if isinstance(error, UnicodeDecodeError):
        return "The body is not UTF-8."
    return f"{str(error).rstrip('.')}." if str(error) else "The body is not valid JSON."
