from __future__ import annotations

import pytest

from ramet.errors import Problem
from ramet.identity.caller import Caller, Via
from ramet.identity.keys import KeyRing
from ramet.identity.tokens import SKEW, AccessTokens
from ramet.identity.verifier import Verifier

from .conftest import START, TTL, Clock


class CountingTokens(AccessTokens):
    """The real thing, which also counts how often it was asked."""

    checked = 0

    def verify(self, token: str, now: float, via: Via = "bearer") -> Caller:
        self.checked += 1
        return super().verify(token, now, via)


@pytest.fixture
def tokens(ring: KeyRing) -> CountingTokens:
    return CountingTokens(ring, issuer="https://ramet.test", audience="ramet", ttl=TTL)


@pytest.fixture
def verifier(tokens: CountingTokens, clock: Clock) -> Verifier:
    return Verifier(tokens, clock)


def mint(tokens: AccessTokens, user: str = "u1", session: str = "s1", now: float = START) -> str:
    return tokens.mint(user=user, session=session, roles=["user"], now=now)


def code(verifier: Verifier, token: str) -> str:
    try:
        verifier.verify(token)
    except Problem as problem:
        return problem.kind.code
    return ""


def test_a_token_is_verified_once_and_then_remembered(verifier: Verifier, tokens: CountingTokens, clock: Clock) -> None:
    token = mint(tokens)
    first = verifier.verify(token)
    assert first == Caller("u1", frozenset({"user"}), "s1", START, START + TTL, "bearer")
    for _ in range(10):
        assert verifier.verify("".join(list(token))) is first
    clock.now += TTL - 0.001
    assert verifier.verify(token) is first
    assert tokens.checked == 1


def test_a_remembered_token_expires_to_the_instant(verifier: Verifier, tokens: CountingTokens, clock: Clock) -> None:
    token = mint(tokens)
    verifier.verify(token)
    clock.now = START + TTL
    with pytest.raises(Problem, match=r"The access token has expired\."):
        verifier.verify(token)
    assert tokens.checked == 1


def test_each_use_says_how_the_token_came(verifier: Verifier, tokens: CountingTokens) -> None:
    token = mint(tokens)
    assert [verifier.verify(token, via).via for via in ("cookie", "bearer", "cookie", "bearer")] == [
        "cookie",
        "bearer",
        "cookie",
        "bearer",
    ]
    assert tokens.checked == 1


def test_a_bad_token_is_refused_every_time_and_takes_no_memory(verifier: Verifier, tokens: CountingTokens) -> None:
    good = mint(tokens)
    for token in (good[:-4] + "AAAA", "", "rt_" + "a" * 43, "x" * 10_000):
        assert [code(verifier, token) for _ in range(3)] == ["invalid_token"] * 3
    assert verifier.counts()["tokens"] == 0


@pytest.mark.parametrize("seen", [True, False])
def test_an_ended_session_is_refused_whether_or_not_its_token_was_seen(
    verifier: Verifier, tokens: CountingTokens, clock: Clock, seen: bool
) -> None:
    token, later, other = mint(tokens), mint(tokens, now=START + 1), mint(tokens, session="s2")
    if seen:
        verifier.verify(token)
    verifier.revoke_session("s1")
    clock.now = START + 1
    assert code(verifier, token) == code(verifier, token) == "session_ended"
    assert code(verifier, later) == "session_ended"
    assert code(verifier, other) == ""


@pytest.mark.parametrize("seen", [True, False])
def test_a_users_tokens_before_an_instant_are_refused_and_later_ones_are_not(
    verifier: Verifier, tokens: CountingTokens, clock: Clock, seen: bool
) -> None:
    instant = START + 10
    clock.now = instant
    before, at = mint(tokens, now=instant - 0.000_001), mint(tokens, now=instant)
    other = mint(tokens, user="u2", now=START)
    if seen:
        for token in (before, at, other):
            verifier.verify(token)
    verifier.revoke_user_before("u1", instant)
    assert code(verifier, before) == code(verifier, before) == "invalid_token"
    assert code(verifier, at) == ""
    assert code(verifier, other) == ""


def test_an_earlier_instant_does_not_undo_a_later_one(verifier: Verifier, tokens: CountingTokens, clock: Clock) -> None:
    clock.now = START + 10
    token = mint(tokens, now=START + 5)
    verifier.revoke_user_before("u1", START + 6)
    verifier.revoke_user_before("u1", START + 1)
    assert code(verifier, token) == "invalid_token"
    verifier.revoke_user_before("u1", START + 8)
    assert code(verifier, mint(tokens, now=START + 7)) == "invalid_token"
    assert code(verifier, mint(tokens, now=START + 9)) == ""


def test_a_user_and_a_session_of_the_same_name_are_not_confused(verifier: Verifier, tokens: CountingTokens) -> None:
    token = mint(tokens, user="same", session="other")
    verifier.revoke_session("same")
    verifier.revoke_user_before("other", START + 1)
    assert code(verifier, token) == ""


def test_a_revocation_is_kept_until_no_token_can_need_it_and_not_for_ever(
    verifier: Verifier, tokens: CountingTokens, clock: Clock
) -> None:
    ahead = mint(tokens, now=START + SKEW)
    for number in range(100):
        verifier.revoke_session(f"s{number}")
        verifier.revoke_user_before(f"u{number}", START)
    clock.now = START + SKEW + TTL - 0.001
    verifier.revoke_session("late")
    assert code(verifier, ahead) == "session_ended"
    assert verifier.counts() == {"tokens": 1, "sessions": 101, "users": 100}
    clock.now = START + 2 * TTL
    verifier.revoke_session("later")
    assert verifier.counts() == {"tokens": 1, "sessions": 2, "users": 0}


def test_memory_is_bounded_by_number_and_what_is_in_use_stays(tokens: CountingTokens, clock: Clock) -> None:
    verifier = Verifier(tokens, clock, capacity=20)
    used = mint(tokens)
    verifier.verify(used)
    for number in range(100):
        verifier.verify(mint(tokens, user=f"u{number}"))
        verifier.verify(used)
        assert verifier.counts()["tokens"] <= 20
    assert tokens.checked == 101
    assert verifier.counts()["tokens"] >= 10


def test_memory_is_bounded_by_bytes(tokens: CountingTokens, clock: Clock) -> None:
    verifier = Verifier(tokens, clock, size=16_384)
    for number in range(100):
        verifier.verify(mint(tokens, user=f"u{number}"))
    assert 0 < verifier.counts()["tokens"] <= 16_384 // 400
    tiny = Verifier(tokens, clock, capacity=0, size=0)
    token = mint(tokens)
    assert tiny.verify(token) == tiny.verify(token)
    assert tiny.counts()["tokens"] <= 2


def test_expired_tokens_do_not_fill_a_quiet_process(verifier: Verifier, tokens: CountingTokens, clock: Clock) -> None:
    for number in range(50):
        verifier.verify(mint(tokens, user=f"u{number}"))
    for _ in range(2):
        clock.now += TTL + SKEW + 1
        verifier.verify(mint(tokens, now=clock.now))
    assert verifier.counts()["tokens"] == 2


def test_an_evicted_token_of_an_ended_session_stays_refused(tokens: CountingTokens, clock: Clock) -> None:
    verifier = Verifier(tokens, clock, capacity=4)
    token = mint(tokens)
    verifier.verify(token)
    verifier.revoke_session("s1")
    for number in range(10):
        verifier.verify(mint(tokens, session=f"other{number}"))
    assert code(verifier, token) == "session_ended"


def test_clearing_has_every_token_verified_again_and_keeps_revocations(
    verifier: Verifier, tokens: CountingTokens, ring: KeyRing
) -> None:
    token, other = mint(tokens), mint(tokens, session="s2")
    verifier.verify(token)
    verifier.revoke_session("s2")
    verifier.clear()
    assert verifier.counts() == {"tokens": 0, "sessions": 1, "users": 0}
    assert verifier.verify(token).id == "u1"
    assert tokens.checked == 2
    assert code(verifier, other) == "session_ended"
    ring.load(())
    assert code(verifier, token) == ""
    verifier.clear()
    assert code(verifier, token) == "invalid_token"
