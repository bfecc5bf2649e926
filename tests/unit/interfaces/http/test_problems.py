"""Every refusal is problem+json that no cache keeps, with the headers of its status and no others."""

from __future__ import annotations

import msgspec
import pytest

from ramet.errors import ERRORS, Fault, Problem
from ramet.interfaces.http.problems import challenge, render

REQUEST_ID = "0192f0c0-5a6b-7c8d-9e0f-1a2b3c4d5e6f"


@pytest.mark.parametrize("code", ERRORS)
def test_every_code_is_rendered(code: str) -> None:
    response = render(Problem(code))
    headers = dict(response.headers)
    document = msgspec.json.decode(response.body)
    assert response.status == document["status"] == ERRORS[code].status
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert document["code"] == code
    assert "instance" not in document
    assert ("retry-after" in headers) == (response.status in {429, 503})
    assert ("www-authenticate" in headers) == (response.status == 401)
    assert all(name == name.lower() and value.isascii() for name, value in response.headers)


def test_the_request_id_is_given_as_a_header_and_as_the_instance() -> None:
    response = render(Problem("not_found"), REQUEST_ID)
    assert ("x-request-id", REQUEST_ID) in response.headers
    assert msgspec.json.decode(response.body)["instance"] == f"urn:uuid:{REQUEST_ID}"


def test_an_id_that_is_no_uuid_makes_no_instance() -> None:
    response = render(Problem("not_found"), "from-a-proxy")
    assert ("x-request-id", "from-a-proxy") in response.headers
    assert "instance" not in msgspec.json.decode(response.body)


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (60, "60")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, text: str) -> None:
    assert dict(render(Problem("rate_limited", retry_after=seconds)).headers)["retry-after"] == text


def test_the_challenge_follows_rfc_6750() -> None:
    assert challenge(Problem("unauthenticated")) == 'Bearer realm="ramet"'
    assert challenge(Problem("invalid_credentials")) == 'Bearer realm="ramet"'
    assert challenge(Problem("invalid_token", "It has expired.")) == (
        'Bearer realm="ramet", error="invalid_token", error_description="It has expired."'
    )
    assert 'error="invalid_token"' in challenge(Problem("session_ended"))


def test_a_detail_cannot_break_out_of_the_challenge() -> None:
    text = challenge(Problem("invalid_token", 'a"b\\c\r\nX: ü'))
    assert text.endswith("error_description=\"a'b'c''X: '\"")


def test_the_problems_own_headers_win() -> None:
    problem = Problem("rate_limited", retry_after=5, headers=(("retry-after", "9"), ("ratelimit", '"api";r=0;t=9')))
    headers = render(problem).headers
    assert [value for name, value in headers if name == "retry-after"] == ["9"]
    assert ("ratelimit", '"api";r=0;t=9') in headers
    refused = render(Problem("method_not_allowed", headers=(("allow", "GET, HEAD"),)))
    assert ("allow", "GET, HEAD") in refused.headers
    custom = render(Problem("unauthenticated", headers=(("www-authenticate", "Basic"),)))
    assert [value for name, value in custom.headers if name == "www-authenticate"] == ["Basic"]


def test_every_fault_is_listed() -> None:
    problem = Problem("invalid_input", faults=[Fault("/title", "too_short", "Give it a title.")])
    document = msgspec.json.decode(render(problem).body)
    assert document["errors"] == [{"pointer": "/title", "code": "too_short", "detail": "Give it a title."}]


def test_rendering_twice_gives_two_lists() -> None:
    problem = Problem("not_found", headers=(("x-a", "1"),))
    render(problem).headers.append(("x-b", "2"))
    assert ("x-b", "2") not in render(problem).headers
