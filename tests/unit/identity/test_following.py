from __future__ import annotations

import pytest

from ramet.changes.change import Change, Kind
from ramet.errors import Problem
from ramet.identity.following import Revocations
from ramet.identity.tokens import AccessTokens
from ramet.identity.verifier import Verifier

from .conftest import START, Clock

AT = round(START * 1e6)


class Process:
    def __init__(self, tokens: AccessTokens, clock: Clock) -> None:
        self.verifier = Verifier(tokens, clock)
        self.reloads = 0
        self.revocations = Revocations(self.verifier, self.reload)

    def reload(self) -> None:
        self.reloads += 1

    def see(self, resource: str, kind: Kind, record: bytes | None, record_id: str = "u1") -> None:
        self.revocations.apply([Change(1, AT, resource, record_id, kind, 1, "u1", record)])


@pytest.fixture
def process(tokens: AccessTokens, clock: Clock) -> Process:
    return Process(tokens, clock)


def refused(process: Process, token: str) -> bool:
    try:
        process.verifier.verify(token)
    except Problem:
        return True
    return False


def test_sessions_end_by_ending_or_deletion_and_by_nothing_else(process: Process, tokens: AccessTokens) -> None:
    token = tokens.mint(user="u1", session="s1", roles=(), now=START)
    process.see("Session", "created", b'{"ended_at":null}', "s1")
    process.see("Session", "updated", b'{"ended_at":null}', "s1")
    process.see("Session", "deleted", None, "another")
    process.see("Task", "deleted", None, "s1")
    assert not refused(process, token)
    process.see("Session", "updated", b'{"ended_at":"2027-01-15T08:00:00Z"}', "s1")
    assert refused(process, token)
    other = tokens.mint(user="u1", session="s2", roles=(), now=START)
    assert not refused(process, other)
    process.see("Session", "deleted", b'{"ended_at":null}', "s2")
    assert refused(process, other)


def test_changed_rights_refuse_tokens_from_before_and_only_those(process: Process, tokens: AccessTokens) -> None:
    before = tokens.mint(user="u1", session="s1", roles=(), now=START)
    after = tokens.mint(user="u1", session="s1", roles=(), now=(AT + 1) / 1e6)
    process.see("User", "updated", b'{"access_changed_at":null,"name":"new"}')
    process.see("User", "created", b'{"access_changed_at":null}')
    assert not refused(process, before)
    process.see("User", "updated", b'{"access_changed_at":"2027-01-15T08:00:00.250001Z"}')
    assert refused(process, before)
    assert not refused(process, after)
    process.see("User", "deleted", None)
    later = tokens.mint(user="u1", session="s1", roles=(), now=(AT + 1) / 1e6)
    assert not refused(process, later)
    assert refused(process, tokens.mint(user="u1", session="s1", roles=(), now=AT / 1e6))


def test_new_keys_are_told_of(process: Process) -> None:
    process.see("SealedKey", "created", b"{}")
    process.see("SealedKey", "deleted", None)
    assert process.reloads == 2
    process.see("Task", "created", b"{}")
    assert process.reloads == 2
