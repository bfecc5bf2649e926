"""Whether a default is a value that an input could give."""

from __future__ import annotations

import msgspec

from ramet.declare.fields.base import Field


def wrong_default(field: Field) -> str | None:
    """What is wrong with the default of a field or an input, as the rest of a sentence; None if nothing is."""
    if field.required:
        return None
    value = field.initial()
    if value is None:
        return None if field.optional else "has the default None but may not be null: write `| None`"
    try:
        given = msgspec.convert(value, field.input_type())
    except msgspec.ValidationError as error:
        return f"has the default {value!r}, which it may not hold: {error}"
    alike = type(given) is type(value) or field.column == "real"
    wrong = field.check(given) if alike and field.checked else None if alike else f"expected {type(given).__name__}"
    return None if wrong is None else f"has the default {value!r}, which it may not hold: {wrong}"
