"""Trace and request identifiers: strict about what comes in, unique in what goes out."""

from __future__ import annotations

import os
import re

import pytest

from ramet.interfaces.http.tracing import request_id, trace, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("ff", True), ("fe", False)])
def test_a_valid_header_keeps_its_trace_and_gets_a_new_span(flags: str, sampled: bool) -> None:
    trace_id, span_id, found = trace(f"00-{TRACE}-{SPAN}-{flags}")
    assert (trace_id, found) == (TRACE, sampled)
    assert span_id != SPAN
    assert re.fullmatch("[0-9a-f]{16}", span_id)


@pytest.mark.parametrize("header", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes-later"])
def test_a_later_version_is_read_as_far_as_it_is_known(header: str) -> None:
    assert trace(header)[0] == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE[:-1]}\u0663-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_anything_else_starts_a_new_trace(header: str) -> None:
    trace_id, span_id, sampled = trace(header)
    assert trace_id != TRACE
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert re.fullmatch("[0-9a-f]{16}", span_id)
    assert not sampled


def test_the_outgoing_header_is_one_that_we_would_accept() -> None:
    trace_id, span_id, _ = trace(None)
    assert trace(traceparent(trace_id, span_id, True))[::2] == (trace_id, True)
    assert trace(traceparent(trace_id, span_id, False))[::2] == (trace_id, False)


@pytest.mark.parametrize("header", ["a", "A1.b_c-d", "x" * 64, "018f6b3e-7b1a-7c3d-9e55-1234567890ab"])
def test_a_harmless_request_id_is_kept(header: str) -> None:
    assert request_id(header) == header


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x" * 65,
        "a b",
        "a\n",
        "a\r\nSet-Cookie: x",
        'a"b',
        "<script>",
        "ä",
        "-a",
        "a/b",
        "rt_abcdefgh",
        "eyJhbGciOiJ",
    ],
)
def test_any_other_request_id_is_replaced(header: str) -> None:
    made = request_id(header)
    assert made != header
    assert re.fullmatch("[0-9a-f]{16}", made)


def test_new_identifiers_never_repeat() -> None:
    made = [request_id(None) for _ in range(3000)]
    made += [part for _ in range(1000) for part in trace(None)[:2]]
    assert len(set(made)) == len(made)


def test_a_forked_process_gives_out_other_identifiers() -> None:
    request_id(None)  # the pool has something in it
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(request_id(None) for _ in range(20)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as source:
        theirs = set(source.read().split())
    os.waitpid(child, 0)
    assert len(theirs) == 20
    assert theirs.isdisjoint(request_id(None) for _ in range(300))
