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
MAX_LENGTH = 2_000


class Cursors:
    """`secret` is 32 bytes. A cursor holds only for the list (`scope`: resource, filters and sort) it came from."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(list[Any]).decode

    def make(self, scope: str, place: list[Any]) -> str:
        content = self._encode(place)
        return base64.urlsafe_b64encode(self._sign(scope, content) + content).rstrip(b"=").decode()

    def read(self, scope: str, text: str) -> tuple[Any, ...]:
        """The stored values of the sort keys. Raises Problem when the cursor is not ours or of another list."""
        try:
            if len(text) > MAX_LENGTH:
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
