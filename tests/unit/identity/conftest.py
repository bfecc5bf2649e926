"""A clock that stands until it is moved, and a ring with one key."""

from __future__ import annotations

import pytest

from ramet.identity.keys import KeyRing
from ramet.identity.tokens import AccessTokens

ROOT = b"a root secret for tests, 32 bytes and more"
START = 1_800_000_000.25
TTL = 900.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring() -> KeyRing:
    ring = KeyRing(ROOT, overlap=TTL)
    ring.rotate(START)
    return ring


@pytest.fixture
def tokens(ring: KeyRing) -> AccessTokens:
    return AccessTokens(ring, issuer="https://ramet.test", audience="ramet", ttl=TTL)
