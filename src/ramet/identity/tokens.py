"""Access tokens (RFC 9068, signed) and refresh tokens (opaque, stored hashed)."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import NoReturn

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


def new_refresh_token() -> tuple[str, str]:
    """A refresh token of 256 random bits, and its hash to store. Its prefix keeps it from passing as anything else."""
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    return token, hash_refresh(token)


def hash_refresh(token: str) -> str:
    """What is stored of a refresh token: SHA-256 in hexadecimal. No salt or cost, for it cannot be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same_hash(one: str, other: str) -> bool:
    """Whether two hashes are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(one, other)


def is_refresh_token(token: str) -> bool:
    """Whether it has the form of one, so that nothing else needs to be looked up."""
    return len(token) == 46 and token.startswith(REFRESH_PREFIX) and token.isascii()


def successor(token: str, secret: bytes, family: str) -> str:
    """The one refresh token that follows a used one: HMAC-SHA256 under the server's secret, bound to the family.

    Concurrent callers with the same token so get the same successor though only hashes are stored. `secret` is
    `derive(root, ...)`; without it, knowing a used token tells nothing about the next.
    """
    message = b"\0".join((b"refresh", family.encode(), token.encode("utf-8", "surrogatepass")))
    digest = hmac.digest(secret, message, hashlib.sha256)
    return REFRESH_PREFIX + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
