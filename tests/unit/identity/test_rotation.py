from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ramet.identity.keys import derive
from ramet.identity.rotation import MOST_KEPT, Decision, decide, with_rotation
from ramet.identity.tokens import hash_refresh, new_family, new_refresh_token, successor

from .conftest import ROOT

SECRET = derive(ROOT, "refresh tokens")
GRACE = 10.0
SECOND = 1_000_000


class Line(msgspec.Struct):
    refresh_hash: str
    generation: int = 0
    rotated: list[int] = []

    def use(self, token: str, now: int) -> Decision:
        decision = decide(self, token, SECRET, now, GRACE)
        if decision.kind == "rotate":
            self.refresh_hash = hash_refresh(decision.token)
            self.generation += 1
            self.rotated = with_rotation(self.rotated, now, GRACE)
        return decision


def new_line() -> tuple[Line, str]:
    token = new_refresh_token(SECRET, new_family())
    return Line(hash_refresh(token)), token


def test_a_token_rotates_once_and_then_gives_its_successor() -> None:
    line, token = new_line()
    assert line.use(token, 0) == ("rotate", successor(token, SECRET))
    for now in (0, 1, 10 * SECOND - 1):
        assert line.use(token, now) == ("again", successor(token, SECRET))
    for now in (10 * SECOND, 10**15):
        assert line.use(token, now) == ("replay", "")
    assert line.generation == 1


def test_tokens_of_another_line_or_secret_are_unknown() -> None:
    line, token = new_line()
    other, strange = new_line()
    assert line.use(strange, 0).kind == "unknown"
    line.use(token, 0)
    other.use(strange, 0)
    assert line.use(successor(strange, SECRET), 0).kind == "unknown"
    assert line.use(successor(token, b"other"), 0).kind == "unknown"
    assert line.use(new_refresh_token(b"other", new_family()), 0).kind == "unknown"
    assert line.use(successor(successor(token, SECRET), SECRET), 0).kind == "unknown"
    assert line.use("rt_", 0).kind == "unknown"


def test_after_the_secret_changed_the_newest_token_is_good_and_used_ones_are_unknown() -> None:
    line, token = new_line()
    newest = line.use(token, 0).token
    assert decide(line, newest, b"other", 1, GRACE) == ("rotate", successor(newest, b"other"))
    assert decide(line, token, b"other", 1, GRACE).kind == "unknown"


def test_what_is_remembered_is_bounded_and_within_the_grace() -> None:
    rotated: list[int] = []
    for now in range(3 * MOST_KEPT):
        rotated = with_rotation(rotated, now, GRACE)
    assert rotated == list(range(2 * MOST_KEPT, 3 * MOST_KEPT))
    assert with_rotation(rotated, 10 * SECOND + 250, GRACE) == [*range(251, 300), 10 * SECOND + 250]


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 6)), max_size=40))
def test_whoever_uses_any_token_within_its_grace_holds_the_newest(steps: list[tuple[int, int]]) -> None:
    """Against a model that keeps every token with the time of its use."""
    line, token = new_line()
    tokens, used, now = [token], dict[str, int](), 0
    for wait, back in steps:
        now += wait
        chosen = tokens[max(0, len(tokens) - 1 - back)]
        decision = line.use(chosen, now)
        if chosen not in used:
            assert decision.kind == "rotate"
            used[chosen] = now
            tokens.append(decision.token)
        elif now < used[chosen] + GRACE * SECOND:
            assert decision == ("again", tokens[-1])
        else:
            assert decision.kind == "replay"
    assert line.generation == len(tokens) - 1
