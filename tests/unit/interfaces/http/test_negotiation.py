"""What a client accepts is weighed as RFC 9110 says, and bodies that are no JSON are refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.errors import Problem
from ramet.interfaces.http.negotiation import ENCODINGS, choose_encoding, choose_media, quality, require_json


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, ""),
        ("", ""),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("br;q=0.5, gzip;q=0.9", "gzip"),
        ("br;q=0.5,gzip;q=0.5", "br"),
        ("*", "zstd"),
        ("*;q=0.1, gzip;q=0.5", "gzip"),
        ("gzip;q=0, *", "zstd"),
        ("zstd;q=0, br;q=0, *", "gzip"),
        ("deflate", ""),
        ("identity", ""),
        ("identity;q=1, gzip;q=0.5", ""),
        ("identity;q=0.5, gzip;q=1", "gzip"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=2", ""),
        ("gzip;q=abc", ""),
        ("gzip;q=0.1234", ""),
        (" , gzip ;q = 1 ,", "gzip"),
        ("gzip;level=9", "gzip"),
        ("\ufffd", ""),
        ("identity;q=0, gzip", "gzip"),
    ],
)
def test_the_best_accepted_encoding_is_chosen(header: str | None, chosen: str) -> None:
    assert choose_encoding(header) == chosen


@pytest.mark.parametrize("header", ["identity;q=0", "*;q=0", "identity;q=0, deflate", "gzip;q=0, identity;q=0"])
def test_a_client_that_refuses_everything_gets_406(header: str) -> None:
    with pytest.raises(Problem) as refused:
        choose_encoding(header)
    assert refused.value.kind.code == "not_acceptable"


def test_a_small_body_goes_without_coding_unless_the_client_forbids_it() -> None:
    assert choose_encoding("gzip, br", small=True) == ""
    assert choose_encoding("gzip, identity;q=0", small=True) == "gzip"
    assert choose_encoding("*", small=True) == ""


def test_what_no_client_needs_is_disregarded() -> None:
    assert choose_encoding("gzip," * 1_000) == ""
    assert choose_media("text/html," * 1_000) == "application/json"


@given(st.text(max_size=60))
def test_any_text_gives_an_encoding_of_ours_or_406(header: str) -> None:
    try:
        outcome = choose_encoding(header)
    except Problem as problem:
        outcome = problem.kind.code
    assert outcome in {"", "not_acceptable", *ENCODINGS}


@given(st.permutations(["gzip;q=0.2", "br;q=0.3", "zstd;q=0.1"]), st.sampled_from([",", " , ", ",,"]))
def test_the_order_of_elements_means_nothing(elements: list[str], separator: str) -> None:
    assert choose_encoding(separator.join(elements)) == "br"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("Application/JSON", "application/json"),
        ("application/*;q=0.1", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("application/json;q=0.001", "application/json"),
        ("text/html, application/json;charset=utf-8", "application/json"),
    ],
)
def test_json_is_given_to_those_that_take_it(header: str | None, chosen: str) -> None:
    assert choose_media(header) == chosen


@pytest.mark.parametrize(
    "header", ["text/html", "application/json;q=0", "application/json;q=0, */*", "text/*", "", "*", "json", "\ufffd"]
)
def test_json_is_not_given_to_those_that_do_not(header: str) -> None:
    with pytest.raises(Problem) as refused:
        choose_media(header)
    assert refused.value.kind.code == "not_acceptable"
    assert "application/json" in refused.value.detail


def test_the_most_liked_offer_is_chosen_and_the_first_of_equals() -> None:
    offers = ("application/json", "text/csv")
    assert choose_media("text/csv, application/json;q=0.5", offers) == "text/csv"
    assert choose_media("*/*", offers) == "application/json"
    assert choose_media("text/*", offers) == "text/csv"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; profile=x",
    ],
)
def test_json_bodies_are_taken(content_type: str) -> None:
    require_json(content_type)
    require_json(content_type, "identity")


@pytest.mark.parametrize(
    ("content_type", "content_encoding"),
    [
        (None, None),
        ("", None),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
        ("application/json; charset=latin-1", None),
        ("application/json; charset=", None),
        ("application/jsonp", None),
        ("application/json, text/plain", None),
        ("application/merge-patch+json", None),
        ("\ufffd", None),
        ("x" * 5_000, None),
        ("application/json", "gzip"),
        ("application/json", "gzip, identity"),
    ],
)
def test_other_bodies_are_refused_with_what_would_do(content_type: str | None, content_encoding: str | None) -> None:
    with pytest.raises(Problem) as refused:
        require_json(content_type, content_encoding)
    assert refused.value.kind.code == "unsupported_media_type"
    expected = ("accept-encoding", "identity") if content_encoding else ("accept", "application/json")
    assert refused.value.headers == (expected,)
    assert len(refused.value.detail) < 200


def test_further_media_types_are_taken_where_an_operation_names_them() -> None:
    require_json("application/merge-patch+json", None, "application/merge-patch+json")
    with pytest.raises(Problem) as refused:
        require_json("text/csv", None, "application/merge-patch+json")
    assert refused.value.headers == (("accept", "application/json, application/merge-patch+json"),)


def test_weights_have_at_most_three_digits() -> None:
    for whole, digits in itertools.product("01", ["", ".", ".0", ".00", ".000"]):
        assert quality(whole + digits) == float(whole)
    assert quality("0.999") == 0.999
    for wrong in ("1.001", "0.0001", "-1", "2", "1e0", "nan", "inf", " 1", "", "\u0661"):
        assert quality(wrong) == 0.0
