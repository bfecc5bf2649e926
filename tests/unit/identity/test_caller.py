from __future__ import annotations

import pytest

from ramet.identity.caller import ANONYMOUS, Caller, system


def test_anonymous_and_system_are_nobody_and_hold_no_role() -> None:
    for caller in (ANONYMOUS, system()):
        assert not caller.signed_in
        assert caller.id is None
        assert caller.session is None
        assert caller.roles == frozenset()
    assert ANONYMOUS.via == "anonymous"
    assert system().via == "system"


def test_a_user_is_signed_in_and_cannot_be_changed() -> None:
    caller = Caller("u1", frozenset({"admin"}), "s1", 1.5, 2.5, "bearer")
    assert caller.signed_in
    for name in ("id", "roles", "session", "expires_at", "via"):
        with pytest.raises(AttributeError):
            setattr(caller, name, None)
