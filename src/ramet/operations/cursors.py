"""Page cursors: the sort keys of a place in a list, signed so that nobody can make one up."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import blake2b
from typing import Any

import msgspec

from ramet.errors import Problem

SIGNATURE = 12
MAX_LENGTH = 6_000
"""Characters; the whole address may have 8,192."""


class Cursors:
    """`secret` is 32 bytes. A cursor holds only for what it was made for (`scope`: a resource and an order)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[Any]).decode

    def make(self, scope: str, place: list[Any]) -> str:
        """A cursor for the stored values of the sort keys. Raises Problem when they are too long together."""
        content = self._encode(place)
        cursor = base64.urlsafe_b64encode(self._sign(scope, content) + content).rstrip(b"=").decode()
        if len(cursor) > MAX_LENGTH:
            raise Problem("invalid_query", "The texts to sort by are too long together: sort by fewer of them.")
        return cursor

    def read(self, scope: str, text: str) -> tuple[Any, ...]:
        """The stored values of the sort keys. Raises Problem when the cursor is not ours or of another list."""
        try:
            if len(text) > MAX_LENGTH or "=" in text:
                raise ValueError
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            content = raw[SIGNATURE:]
            if not hmac.compare_digest(raw[:SIGNATURE], self._sign(scope, content)):
                raise ValueError
            return tuple(self._decode(content))
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise Problem("invalid_cursor") from None

    def _sign(self, scope: str, content: bytes) -> bytes:
        return blake2b(scope.encode() + b"\0" + content, digest_size=SIGNATURE, key=self._secret).digest()
