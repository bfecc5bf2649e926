"""E-mail addresses."""

from __future__ import annotations

from typing import Any

from ramet.declare.fields.text import Text

# The form that the HTML standard gives for <input type=email>, with a dot in the domain.
PATTERN = (
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
)


class EmailAddress(Text):
    """An e-mail address of at most 254 characters (RFC 5321)."""

    kind = "email"
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(min=3, max=254, pattern=PATTERN)

    def schema(self) -> dict[str, Any]:
        return {**super().schema(), "format": "email"}
