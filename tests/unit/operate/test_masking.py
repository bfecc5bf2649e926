"""No secret leaves the process, whether by its key or by its look; and what is no secret stays readable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.operate.masking import DEEPEST, LONGEST, MASK, mask, mask_items, mask_paths, mask_text

REFRESH = "rt_9fQx2Lr8sVtB1nK4mWcZ7yDp"
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_c2ln"


@pytest.mark.parametrize(
    "key",
    ["password", "new_password", "Password", "passwd", "token", "refresh_token", "Authorization", "cookie",
     "Set-Cookie", "secret", "client_secret", "api_key", "apikey", "X-Api-Key", "credentials", "passphrase"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["hunter2", b"hunter2", 42, ["hunter2"], {"a": "hunter2"}, object()])
def test_a_secret_key_hides_any_value(key: str, value: Any) -> None:
    assert mask_items({key: value, "other": 1}) == {key: MASK, "other": 1}
    assert mask({"deep": [{key: value}]}) == {"deep": [{key: MASK}]}


@pytest.mark.parametrize("value", [None, True, False])
def test_that_a_secret_is_absent_is_no_secret(value: bool | None) -> None:
    assert mask_items({"password": value}) == {"password": value}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"refused {REFRESH} again", "refused *** again"),
        (f"refused {JWT}.", "refused ***"),
        (f"/reset/{REFRESH}", "/reset/***"),
        (f"({JWT})", "(***)"),
        ("Authorization: Bearer abc.defghi", "Authorization: Bearer ***"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic ***"),
        ("password=hunter2&next=1", "password=***&next=1"),
        ("{'new_password': 'hunter2', 'a': 1}", "{'new_password': '***', 'a': 1}"),
        ('{"token":"hunter2"}', '{"token":"***"}'),
        ("postgres://me:hunter2@db/x", "postgres://***@db/x"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_in_any_text(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "start_the_report_again_tomorrow",
        "018f6b3e-7b1a-7c3d-9e55-1234567890ab",
        "the token has expired",
        "token",
        "the bearer is known",
        "http://127.0.0.1:8000/api/docs",
        "SELECT id, title FROM tasks WHERE owner = ?",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_text(text) == text


def test_values_become_plain_and_bounded() -> None:
    circle: list[Any] = []
    circle.append(circle)
    shown = mask({"bytes": b"a\xff", "set": {1}, "tuple": (1, "a"), 3: None, "circle": circle, "long": "x" * 99_999})
    assert shown["bytes"] == "a\\xff"
    assert (shown["set"], shown["tuple"], shown["3"]) == ([1], [1, "a"], None)
    assert str(shown["circle"]).count("[") <= DEEPEST
    assert len(shown["long"]) < LONGEST + 40


@given(st.binary(min_size=16, max_size=40).map(bytes.hex), st.text(max_size=20), st.text(max_size=20))
def test_a_refresh_token_never_shows_wherever_it_stands(token: str, before: str, after: str) -> None:
    shown = mask_text(f"{before} rt_{token} {after}")
    assert token not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open /var/lib/ramet/data.db: full", "cannot open …: full"),
        ("see /etc/ramet.d/", "see …"),
        ("Run `ramet migrate apply`.", "Run `ramet migrate apply`."),
        ("see http://host/a/b", "see http://host/a/b"),
        ("3/4 done", "3/4 done"),
    ],
)
def test_file_names_do_not_show_in_public_documents(text: str, shown: str) -> None:
    assert mask_paths(text) == shown
