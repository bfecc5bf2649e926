"""Access tokens (RFC 9068, signed) and refresh tokens (opaque, stored hashed)."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from ramet.errors import Problem
from ramet.identity.caller import Caller, Via
from ramet.identity.keys import KeyRing

LONGEST = 4096
# How far the clock of another instance may run ahead of ours before its tokens look forged.
SKEW = 60.0
REFRESH_PREFIX = "rt_"

# A refresh token's bytes: its family, how many came before it (big-endian), what nobody can guess, and our mark.
_FAMILY, _COUNT, _SECRET, _MARK = 16, 4, 24, 16
_REFRESH_LENGTH = len(REFRESH_PREFIX) + (_FAMILY + _COUNT + _SECRET + _MARK) * 4 // 3

_TYPE = "at+jwt"
_HEADER = {"alg", "kid", "typ"}


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    sub: str
    sid: str
    roles: tuple[str, ...]
    iat: float
    exp: float
    jti: str


_decode_claims = msgspec.json.Decoder(_Claims).decode


class AccessTokens:
    """Mints and verifies access tokens: who, in which session, with which roles, for `ttl` seconds.

    `iat` and `exp` keep fractions of a second (NumericDate), so that revocation by time is exact. A token lives no
    longer than `ttl` of the process that verifies it, whatever its `exp`, so revocations may be forgotten after that.
    """

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, ttl: float, leeway: float = 0.0) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self.ttl = ttl
        self.leeway = leeway

    def mint(self, *, user: str, session: str, roles: Iterable[str], now: float) -> str:
        """A token for `user`. Raises Problem("unavailable") without a key, ValueError if it would exceed 4 KiB."""
        key = self._keys.signing(now)
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user,
            "sid": session,
            "roles": sorted(roles),
            "iat": now,
            "exp": now + self.ttl,
            "jti": secrets.token_urlsafe(12),
        }
        header = {"alg": key.algorithm, "kid": key.kid, "typ": _TYPE}
        token = jws.serialize_compact(header, msgspec.json.encode(claims), key.jwk, [key.algorithm])
        if len(token) > LONGEST:
            raise ValueError(f"An access token of {len(token)} bytes is too long; give the user fewer roles.")
        return token

    def verify(self, token: str, now: float, via: Via = "bearer") -> Caller:
        """Who the token speaks for. Does not know revocations: `Verifier` does.

        Raises Problem("invalid_token"), whose detail tells apart only a token of ours that has expired.
        """
        claims = self._read(token, now)
        if claims is None:
            refuse()
        expires_at = min(claims.exp, claims.iat + self.ttl) + self.leeway
        if expires_at <= now:
            expired()
        return Caller(claims.sub, _roles(claims.roles), claims.sid, claims.iat, expires_at, via)

    def _read(self, token: str, now: float) -> _Claims | None:
        """The claims of a token that we signed for ourselves, expired or not; None for everything else."""
        if len(token) > LONGEST or not token.isascii():
            return None
        try:
            signed = jws.extract_compact(token.encode())
            header = signed.headers()
            if header.keys() != _HEADER or header["typ"] != _TYPE or not isinstance(header["kid"], str):
                return None
            key = self._keys.find(header["kid"], now)
            if key is None or header["alg"] != key.algorithm:
                return None
            if not jws.validate_compact(signed, key.jwk, [key.algorithm]):
                return None
            claims = _decode_claims(signed.payload)
        except (JoseError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None
        sound = (
            claims.iss == self._issuer
            and claims.aud == self._audience
            and claims.sub != ""
            and claims.sid != ""
            and claims.iat <= now + max(self.leeway, SKEW)
            and claims.iat < claims.exp
        )
        return claims if sound else None


@functools.lru_cache(maxsize=256)
def _roles(names: tuple[str, ...]) -> frozenset[str]:
    """One set for all callers with the same roles: remembered callers are many."""
    return frozenset(names)


def refuse() -> NoReturn:
    """Refuses a token without saying why."""
    raise Problem("invalid_token", "The access token is not valid.")


def expired() -> NoReturn:
    """Refuses a token that is ours and was valid once."""
    raise Problem("invalid_token", "The access token has expired.")


class RefreshToken(NamedTuple):
    """What a refresh token says of itself: its family, and how many of that family came before it."""

    family: str
    generation: int


def new_family() -> str:
    """The name of a line of refresh tokens: 128 random bits in hexadecimal."""
    return secrets.token_hex(_FAMILY)


def new_refresh_token(secret: bytes, family: str) -> str:
    """The first refresh token of a family, with 192 random bits that nobody can guess. Store its hash.

    Its prefix keeps it from passing as anything else. `secret` is `derive(root, ...)`.
    """
    return _refresh_token(secret, bytes.fromhex(family), 0, secrets.token_bytes(_SECRET))


def read_refresh_token(token: str) -> RefreshToken | None:
    """What `token` says of itself, which anybody can make up; None when it has not the form of a refresh token."""
    raw = _raw(token)
    if raw is None:
        return None
    return RefreshToken(raw[:_FAMILY].hex(), int.from_bytes(raw[_FAMILY : _FAMILY + _COUNT], "big"))


def is_ours(token: str, secret: bytes) -> bool:
    """Whether we gave `token` out under `secret`, however long ago: a used one is told from a made-up one by it."""
    raw = _raw(token)
    return raw is not None and hmac.compare_digest(raw[-_MARK:], _mark(secret, raw[:-_MARK]))


def hash_refresh(token: str) -> str:
    """What is stored of a refresh token: SHA-256 in hexadecimal. No salt or cost, for it cannot be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same_hash(one: str, other: str) -> bool:
    """Whether two hashes are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(one, other)


def successor(token: str, secret: bytes) -> str:
    """The one refresh token that follows a used one, derived from it by HMAC-SHA256 under the server's secret.

    Concurrent callers with the same token so get the same successor though only hashes are stored. Without `secret`,
    knowing a used token tells nothing about the next. Raises ValueError for what is no refresh token.
    """
    raw = _raw(token)
    if raw is None:
        raise ValueError("Only a refresh token has a successor.")
    count = int.from_bytes(raw[_FAMILY : _FAMILY + _COUNT], "big")
    following = hmac.digest(secret, b"refresh successor\0" + raw, hashlib.sha256)[:_SECRET]
    return _refresh_token(secret, raw[:_FAMILY], count + 1, following)


def _refresh_token(secret: bytes, family: bytes, count: int, unguessable: bytes) -> str:
    content = family + count.to_bytes(_COUNT, "big") + unguessable
    return REFRESH_PREFIX + base64.urlsafe_b64encode(content + _mark(secret, content)).decode()


def _mark(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, b"refresh mark\0" + content, hashlib.sha256)[:_MARK]


def _raw(token: str) -> bytes | None:
    if len(token) != _REFRESH_LENGTH or not token.startswith(REFRESH_PREFIX) or not token.isascii():
        return None
    try:
        return base64.b64decode(token[len(REFRESH_PREFIX) :], altchars=b"-_", validate=True)
    except binascii.Error:
        return None
