"""Entity tags are compared as RFC 9110 says, whatever coding the client got its copy in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.errors import Problem
from ramet.interfaces.http.conditional import (
    not_modified,
    parse_etags,
    with_encoding,
    without_encoding,
)
from ramet.interfaces.http.negotiation import ENCODINGS

TAGS = st.text("0123456789abcdef-", min_size=1, max_size=20).map(lambda text: f'"{text}"')


@given(TAGS, st.sampled_from(ENCODINGS))
def test_the_suffix_of_a_coding_goes_on_and_off(etag: str, encoding: str) -> None:
    assert without_encoding(with_encoding(etag, encoding)) == etag
    assert with_encoding(etag, "") == etag
    assert with_encoding('"abc"', "gzip") == '"abc-gzip"'


@pytest.mark.parametrize(
    ("header", "current"),
    [
        (None, False),
        ('"abc"', True),
        ('"abc-gzip"', True),
        ('"abc-br"', True),
        ('"abc-zstd"', True),
        ('W/"abc"', True),
        ('W/"abc-gzip"', True),
        ("*", True),
        (" * ", True),
        ('"x", "abc"', True),
        ('"x","y" , W/"abc-br"', True),
        (', "abc",', True),
        ('"abcd"', False),
        ('"abc-deflate"', False),
        ('"x", "y"', False),
        ('""', False),
    ],
)
def test_a_copy_is_current_by_weak_comparison(header: str | None, current: bool) -> None:
    assert not_modified(header, '"abc"') is current


def test_a_weak_tag_of_ours_is_compared_without_its_mark() -> None:
    assert not_modified('"abc"', 'W/"abc"')
    assert not_modified('W/"abc"', 'W/"abc"')


@pytest.mark.parametrize(
    "header", ["abc", '"abc', 'abc"', '"a" "b"', "**", '*, "a"', "", ",", " ", 'w/"abc"', "\ufffd"]
)
def test_malformed_lists_are_refused_and_name_the_header(header: str) -> None:
    for name in ("if-none-match", "if-match"):
        with pytest.raises(Problem) as refused:
            parse_etags(header, name)
        assert refused.value.kind.code == "invalid_header"
        assert name in refused.value.detail


def test_a_list_longer_than_any_client_sends_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        not_modified('"abcdef",' * 2_000, '"abc"')
    assert refused.value.kind.code == "invalid_header"


@given(st.lists(st.tuples(st.booleans(), TAGS), min_size=1, max_size=8))
def test_what_is_written_is_read(tags: list[tuple[bool, str]]) -> None:
    header = ", ".join(("W/" if weak else "") + tag for weak, tag in tags)
    assert parse_etags(header, "if-match") == tuple((weak, without_encoding(tag)) for weak, tag in tags)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(header: str) -> None:
    code = ""
    try:
        assert parse_etags(header, "if-match")
    except Problem as problem:
        code = problem.kind.code
    assert code in {"", "invalid_header"}
