"""Keys: those that sign access tokens, with rotation and overlap, and secrets derived from the one root secret."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey

from ramet.errors import Problem, SettingsError

# "Ed25519" is EdDSA over that curve by its full name; RFC 9864 deprecates the ambiguous "EdDSA".
Algorithm = Literal["Ed25519", "HS256"]

_SALT = b"ramet root secret"
_SEAL = {"alg": "dir", "enc": "A256GCM"}


def new_root() -> str:
    """A fresh root secret of 256 bits, as text to keep."""
    return secrets.token_urlsafe(32)


def read_root(text: str) -> bytes:
    """The root secret from RAMET_SECRET or from where it was kept. Raises SettingsError under 32 characters."""
    if len(text) < 32:
        raise SettingsError("RAMET_SECRET: too short; use 32 random characters or more.")
    return text.encode("utf-8", "surrogateescape")


@functools.lru_cache(maxsize=64)
def derive(root: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose: HKDF-SHA256 (RFC 5869), with `purpose` as its info.

    Knowing the key of one purpose tells nothing of another's, nor of the root.
    """
    extracted = hmac.digest(_SALT, root, hashlib.sha256)
    return hmac.digest(extracted, purpose.encode() + b"\x01", hashlib.sha256)


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key as it is stored. `sealed` is the private key, encrypted with the root secret (JWE, A256GCM).

    It signs from `signs_from`, until a newer one does, and verifies until `retires_at` (None: no newer one yet).
    Times are seconds since the epoch.
    """

    kid: str
    algorithm: Algorithm
    sealed: str
    created_at: float
    signs_from: float
    retires_at: float | None = None


class SigningKey(msgspec.Struct, frozen=True):
    """A key ready for use: `jwk` signs and verifies, with `algorithm` and no other."""

    kid: str
    algorithm: Algorithm
    jwk: OKPKey | OctKey
    signs_from: float
    retires_at: float | None


class KeyRing:
    """The signing keys, newest last.

    A new key is known for `lead` seconds before it signs, so that every process has loaded it by then; the one before
    verifies for `overlap` seconds more, which must be at least the life of an access token. Rows that this root secret
    cannot open are left out and named in `unreadable`: changing the root secret ends every access token.
    """

    def __init__(
        self,
        root: bytes,
        rows: Iterable[KeyRow] = (),
        *,
        overlap: float,
        lead: float = 10.0,
        algorithm: Algorithm = "Ed25519",
    ) -> None:
        self._seal = OctKey.import_key({"kty": "oct", "k": _base64(derive(root, "stored signing keys"))})
        self._overlap = overlap
        self._lead = lead
        self._algorithm = algorithm
        self.load(rows)

    def load(self, rows: Iterable[KeyRow]) -> None:
        """Takes the stored rows in place of what it has: at start, and when another process has rotated."""
        keys: dict[str, SigningKey] = {}
        unreadable = []
        self.rows = tuple(sorted(rows, key=lambda row: (row.signs_from, row.kid)))
        for row in self.rows:
            jwk = self._open(row)
            if jwk is None:
                unreadable.append(row.kid)
            else:
                keys[row.kid] = SigningKey(row.kid, row.algorithm, jwk, row.signs_from, row.retires_at)
        self._keys = keys
        self.unreadable = tuple(unreadable)

    def signing(self, now: float) -> SigningKey:
        """The key to sign with. Raises Problem("unavailable") when there is none, which `rotate` mends."""
        for key in reversed(self._keys.values()):
            if key.signs_from <= now and (key.retires_at is None or key.retires_at > now):
                return key
        raise Problem("unavailable", "There is no key to sign with.", retry_after=1.0)

    def find(self, kid: str, now: float) -> SigningKey | None:
        """The key that verifies tokens of `kid`, or None when it is unknown or retired."""
        key = self._keys.get(kid)
        return None if key is None or (key.retires_at is not None and key.retires_at <= now) else key

    def rotate(self, now: float) -> tuple[KeyRow, ...]:
        """Adds a key and sets when those before it retire. Answers the rows to store: changed and new ones.

        The first key of a ring signs at once.
        """
        signs_from = now + self._lead if self._keys else now
        kid = secrets.token_urlsafe(9)
        new = KeyRow(
            kid=kid,
            algorithm=self._algorithm,
            sealed=self._close(kid, _generate(self._algorithm)),
            created_at=now,
            signs_from=signs_from,
        )
        changed = [
            msgspec.structs.replace(row, retires_at=signs_from + self._overlap)
            for row in self.rows
            if row.retires_at is None
        ]
        kept = [row for row in self.rows if row.retires_at is not None]
        self.load((*kept, *changed, new))
        return (*changed, new)

    def due(self, now: float, period: float) -> bool:
        """Whether to rotate: there is no usable key, or the newest is `period` seconds old."""
        newest = max((row.created_at for row in self.rows if row.kid in self._keys), default=None)
        return newest is None or newest + period <= now

    def prune(self, now: float) -> tuple[str, ...]:
        """Forgets retired keys and answers their `kid`s, so that the rows can be deleted."""
        retired = tuple(row.kid for row in self.rows if row.retires_at is not None and row.retires_at <= now)
        if retired:
            self.load([row for row in self.rows if row.kid not in retired])
        return retired

    def public_keys(self, now: float) -> dict[str, list[dict[str, Any]]]:
        """The JSON Web Key Set (RFC 7517) with which others may verify; shared keys are never in it."""
        return {
            "keys": [
                {**key.jwk.as_dict(private=False), "kid": key.kid, "alg": key.algorithm, "use": "sig"}
                for key in self._keys.values()
                if isinstance(key.jwk, OKPKey) and self.find(key.kid, now) is not None
            ]
        }

    def _close(self, kid: str, jwk: OKPKey | OctKey) -> str:
        document = json.dumps(jwk.as_dict(private=True))
        return jwe.encrypt_compact({**_SEAL, "kid": kid}, document, self._seal, list(_SEAL.values()))

    def _open(self, row: KeyRow) -> OKPKey | OctKey | None:
        try:
            opened = jwe.decrypt_compact(row.sealed, self._seal, list(_SEAL.values()))
            if opened.headers().get("kid") != row.kid or opened.plaintext is None:
                return None
            document = json.loads(opened.plaintext)
            return OKPKey.import_key(document) if row.algorithm == "Ed25519" else OctKey.import_key(document)
        except (JoseError, ValueError, KeyError):
            return None


def _generate(algorithm: Algorithm) -> OKPKey | OctKey:
    return OKPKey.generate_key("Ed25519") if algorithm == "Ed25519" else OctKey.generate_key(256)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
