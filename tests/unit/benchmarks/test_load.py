"""What is sent to wrk, and what is understood of its answer."""

import json
from pathlib import Path

import pytest

from benchmarks.load import LoadFailed, Request, command, parse, write_requests

FOUND = {
    "requests": 3000,
    "microseconds": 1_500_000,
    "bytes": 600_000,
    "refused": 0,
    "broken": 0,
    "timed_out": 0,
    "p50": 1250,
    "p99": 4000,
    "slowest": 9000,
}


def output(**changes: int) -> str:
    return "Running 1s test\n  2 threads\n\n" + json.dumps({**FOUND, **changes}) + "\n"


def test_a_result_is_read_in_seconds_and_milliseconds() -> None:
    result = parse(output())
    assert result.rate == 2000
    assert result.bytes_each == 200
    assert (result.p50, result.p99, result.slowest) == (1.25, 4.0, 9.0)


@pytest.mark.parametrize("fault", ["refused", "broken", "timed_out"])
def test_one_answer_that_was_no_success_fails_the_run(fault: str) -> None:
    with pytest.raises(LoadFailed, match=rf"of 3000 answers: \{{'{fault}': 1\}}"):
        parse(output(**{fault: 1}))


def test_a_run_without_answers_or_without_a_result_fails() -> None:
    with pytest.raises(LoadFailed, match="none came"):
        parse(output(requests=0))
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:9")


def test_a_request_is_sent_with_its_token_and_the_length_of_its_body() -> None:
    raw = Request("POST", "/api/v1/tasks", "a.b.c", b'{"title":"\xc3\xa9"}').raw(8000)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /api/v1/tasks HTTP/1.1",
        b"Host: 127.0.0.1:8000",
        b"Accept: application/json",
        b"Authorization: Bearer a.b.c",
        b"Content-Type: application/json",
        b"Content-Length: 14",
    ]
    assert body == b'{"title":"\xc3\xa9"}'


def test_an_anonymous_read_carries_neither_token_nor_body() -> None:
    raw = Request("GET", "/").raw(1)
    assert raw.endswith(b"\r\n\r\n")
    assert b"Authorization" not in raw
    assert b"Content" not in raw


def test_the_file_for_wrk_tells_the_bytes_of_each_request(tmp_path: Path) -> None:
    requests = [Request("GET", "/a"), Request("POST", "/b", body=b"line\nline")]
    write_requests(tmp_path / "requests", requests, 80)
    rest, found = (tmp_path / "requests").read_bytes(), []
    while rest:
        size, _, rest = rest.partition(b"\n")
        found.append(rest[: int(size)])
        rest = rest[int(size) :]
    assert found == [request.raw(80) for request in requests]


def test_load_is_pinned_only_when_there_is_a_core_to_spare() -> None:
    line = command(Path("r"), 80, connections=32, seconds=3, core=1)
    assert line[:4] == ["taskset", "-c", "1", "wrk"]
    assert {"-t1", "-c32", "-d3s"} <= set(line)
    assert "taskset" not in command(Path("r"), 80, connections=32, seconds=3, core=None)
