"""Web addresses."""

from __future__ import annotations

from typing import Any

from ramet.declare.fields.text import Text

PATTERN = r"https?://[^\s\x00-\x1f\x7f/?#@\\]+(?:[/?#][^\s\x00-\x1f\x7f\\]*)?"


class WebAddress(Text):
    """An absolute http or https address of at most 2,048 characters, without user name or password."""

    kind = "url"
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(min=8, max=2_048, pattern=PATTERN)

    def schema(self) -> dict[str, Any]:
        return {**super().schema(), "format": "url"}
