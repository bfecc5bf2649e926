"""The configuration of nginx that `ramet render nginx` writes, run by nginx itself."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from ramet.settings import Settings
from tests.balancers import Balancer, balanced, origins, unused
from tests.postgres import free_port
from tests.process.certificates import self_signed
from tests.process.harness import Connection, eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DIES = b""
BREAKS_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
FULL = b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
SAFE = ("GET", "HEAD", "OPTIONS")
CHANGES = ("POST", "PATCH", "PUT", "DELETE", "REPORT")


def ask(balancer: Balancer, method: str, path: str = "/", **more: Any) -> httpx.Response:
    with httpx.Client(base_url=f"http://127.0.0.1:{balancer.port}", timeout=60) as client:
        return client.request(method, path, **more)


def test_nginx_takes_what_is_rendered(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "app.example")
    for settings in (Settings(), Settings(limits=False, drain_delay=8.0, body_limit=10)):
        for front in (
            {},
            {"server_names": ("app.example", "*.app.example")},
            {"certificate": str(certificate), "key": str(key), "plain_port": free_port()},
            {"certificate": str(certificate), "key": str(key), "server_names": ("a.b",), "plain_port": free_port()},
        ):
            balancer = Balancer(["127.0.0.1:1", "[::1]:2", "localhost:3"], settings, **front)
            try:
                done = balancer.check()
                assert done.returncode == 0, done.stderr
                assert "[warn]" not in done.stderr
            finally:
                balancer.remove()


@pytest.mark.parametrize("method", SAFE)
def test_a_safe_request_is_asked_again_when_its_instance_dies(method: str) -> None:
    with origins(DIES, OK) as (dying, living), balanced([dying.address, living.address]) as nginx:
        answers = [ask(nginx, method) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert len(living.received) == 4
        assert dying.received


@pytest.mark.parametrize("method", CHANGES)
def test_a_change_is_never_sent_twice(method: str) -> None:
    with origins(DIES, DIES) as both, balanced([origin.address for origin in both]) as nginx:
        answer = ask(nginx, method, content=b"{}", headers={"x-request-id": "mine"})
        assert [request.body for origin in both for request in origin.received] == [b"{}"]
        assert answer.status_code == 502
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "no_answer"
        assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("1", "mine")


@pytest.mark.parametrize("method", [*SAFE, *CHANGES])
def test_whatever_was_not_sent_goes_to_another_instance(method: str) -> None:
    with origins(OK) as (living,), balanced([unused(), living.address]) as nginx:
        answers = [ask(nginx, method) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 6
        assert [request.method for request in living.received] == [method] * 6


def test_what_has_begun_to_be_answered_is_not_asked_again() -> None:
    with origins(BREAKS_OFF, BREAKS_OFF) as both, balanced([origin.address for origin in both]) as nginx:
        with pytest.raises(httpx.RemoteProtocolError):
            ask(nginx, "GET")
        assert sum(len(origin.received) for origin in both) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_overload_is_passed_on_and_not_multiplied(method: str) -> None:
    with origins(FULL, FULL) as both, balanced([origin.address for origin in both]) as nginx:
        for asked in range(1, 11):
            answer = ask(nginx, method)
            assert (answer.status_code, answer.headers.get_list("retry-after")) == (503, ["7"])
            assert sum(len(origin.received) for origin in both) == asked
        assert min(len(origin.received) for origin in both) > 0, "none was left out for saying that it is full"


def test_a_stream_that_one_instance_refuses_is_offered_to_another() -> None:
    with origins(FULL, OK) as (full, free), balanced([full.address, free.address]) as nginx:
        answers = [ask(nginx, "GET", "/api/v1/events?resource=tasks") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 6
        assert len(free.received) == 6
        assert full.received, "it was asked, and is still"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_big_bodies_reach_no_instance(method: str) -> None:
    settings = Settings(limits=False, body_limit=1_000)
    with origins(OK) as (origin,), balanced([origin.address], settings) as nginx:
        assert ask(nginx, method, content=b"x" * 1_000).status_code == 200
        answer = ask(nginx, method, content=b"x" * 1_001)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        chunked = ask(nginx, method, content=iter([b"x" * 600, b"x" * 600]))
        assert chunked.status_code == 413
        assert len(origin.received) == 1


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("GET /a/%00 HTTP/1.1", 400, "bad_request"),
        ("DELETE /%2e%2e/a HTTP/1.1", 400, "bad_request"),
        ("GET nowhere HTTP/1.1", 400, "bad_request"),
        ("TRACE / HTTP/1.1", 405, "method_not_allowed"),
        ("GET /" + "a" * 20_000 + " HTTP/1.1", 414, "uri_too_long"),
        ("GET / HTTP/1.1\r\nX-Large: " + "a" * 20_000, 431, "headers_too_large"),
        ("GET /.nginx/problem_400 HTTP/1.1", 404, "not_found"),
    ],
)
def test_what_nginx_cannot_read_is_told_as_the_application_would(line: str, status: int, code: str) -> None:
    with origins(OK) as (origin,), balanced([origin.address]) as nginx:
        with Connection(nginx.port) as connection:
            connection.send(f"{line}\r\nHost: a\r\n\r\n".encode())
            headers = {name.lower(): value for name, value in connection.head().items()}
            document = json.loads(connection.file.read(int(headers["content-length"])))
        assert (headers[""], headers["content-type"]) == (str(status), "application/problem+json")
        assert (document["status"], document["code"]) == (status, code)
        assert ("allow" in headers) == (status == 405)
        assert origin.received == []


def test_nobody_forges_where_a_request_comes_from() -> None:
    forged = {
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
        "x-forwarded-port": "1",
        "x-forwarded-prefix": "/evil",
        "x-forwarded-server": "evil",
        "forwarded": "for=10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "x-original-url": "/evil",
        "x-rewrite-url": "/evil",
        "x-request-id": "rt_looks-like-a-token",
        "upgrade": "h2c",
        "connection": "upgrade",
    }
    with origins(OK) as (origin,), balanced([origin.address]) as nginx:
        ask(nginx, "GET", headers=forged)
        sent = origin.received[0].headers
        host = f"127.0.0.1:{nginx.port}"
        assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("127.0.0.1", "http")
        assert (sent["host"], sent["x-forwarded-host"], sent["x-forwarded-port"]) == (host, host, str(nginx.port))
        assert len(sent["x-request-id"]) == 32
        gone = {"forwarded", "x-real-ip", "x-forwarded-prefix", "x-forwarded-server", "x-original-url", "x-rewrite-url"}
        assert (gone | {"upgrade", "connection"}) & sent.keys() == set()


def test_headers_of_the_application_are_not_doubled() -> None:
    own = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-content-type-options: nosniff\r\nreferrer-policy: same-origin\r\n"
        b"content-security-policy: frame-ancestors 'self'\r\nx-request-id: own\r\n\r\nok"
    )
    expected = {
        OK: {"x-content-type-options": ["nosniff"], "referrer-policy": ["no-referrer"], "x-frame-options": ["DENY"]},
        own: {"x-content-type-options": ["nosniff"], "referrer-policy": ["same-origin"], "x-frame-options": []},
    }
    for response, headers in expected.items():
        with origins(response) as (origin,), balanced([origin.address]) as nginx:
            answer = ask(nginx, "GET")
            assert {name: answer.headers.get_list(name) for name in headers} == headers
            assert len(answer.headers.get_list("x-request-id")) == 1
            assert not {"strict-transport-security", "retry-after", "x-powered-by"} & answer.headers.keys()
            assert answer.headers["server"] == "nginx"


def test_the_access_log_is_json_that_names_requests_and_hides_queries() -> None:
    with origins(OK) as (origin,), balanced([origin.address]) as nginx:
        ask(nginx, "GET", '/a/"quoted"?token=secret', headers={"x-request-id": "known-1"})
        ask(nginx, "POST", "/b")
        first, second = nginx.lines(2)
        assert first["request_id"] == origin.received[0].headers["x-request-id"] == "known-1"
        assert second["request_id"] == origin.received[1].headers["x-request-id"]
        assert (first["method"], first["status"], first["instance"]) == ("GET", 200, origin.address)
        assert first["path"] == "/a/%22quoted%22"
        assert "secret" not in nginx.log.read_text()


def test_figures_of_one_instance_are_not_given_for_all() -> None:
    with origins(OK) as (origin,), balanced([origin.address]) as nginx:
        answer = ask(nginx, "GET", "/metrics")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert origin.received == []


def test_floods_of_one_address_stop_here_and_guesses_sooner() -> None:
    settings = Settings(limit_caller="2/1", limit_address="2/1", limit_sign_in="1/60")
    with origins(OK) as (origin,), balanced([origin.address], settings) as nginx:
        statuses = [ask(nginx, "POST", "/api/v1/auth/sign-in").status_code for _ in range(5)]
        assert statuses[:2] == [200, 200]
        assert statuses[-1] == 429
        with httpx.Client(base_url=f"http://127.0.0.1:{nginx.port}", timeout=60) as client:
            answers = [client.get("/") for _ in range(120)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].json()["code"] == "rate_limited"
        assert refused[0].headers["retry-after"] == "1"
        assert len(origin.received) == statuses.count(200) + len(answers) - len(refused)


def test_tls_is_current_and_everything_else_is_sent_there(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "app.example")
    plain = free_port()
    options = {"certificate": str(certificate), "key": str(key), "server_names": ("app.example",), "plain_port": plain}
    with origins(OK) as (origin,), balanced([origin.address], **options) as nginx:
        trusting = ssl.create_default_context(cafile=str(certificate))
        with _secured(nginx.port, trusting, "app.example") as connection:
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
            with connection.makefile("rb") as file:
                head = file.read().split(b"\r\n\r\n")[0].decode().lower()
            assert head.startswith("http/1.1 200")
            assert "strict-transport-security: max-age=63072000" in head
        assert origin.received[0].headers["x-forwarded-proto"] == "https"
        old = ssl.create_default_context(cafile=str(certificate))
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.set_ciphers("AES128-SHA256")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _secured(nginx.port, old, "app.example").close()
        with pytest.raises(ssl.SSLError):
            _secured(nginx.port, trusting, "other.example").close()
        answer = httpx.get(f"http://127.0.0.1:{plain}/b?c=d", headers={"host": "app.example"})
        assert (answer.status_code, answer.headers["location"]) == (308, f"https://app.example:{nginx.port}/b?c=d")
        assert httpx.get(f"http://127.0.0.1:{plain}/b", headers={"host": "evil.example"}).status_code == 421
        assert [request.target for request in origin.received] == ["/a"]


def test_other_hosts_are_nobodys() -> None:
    with origins(OK) as (origin,), balanced([origin.address], server_names=("app.example",)) as nginx:
        assert ask(nginx, "GET", headers={"host": "app.example"}).status_code == 200
        assert ask(nginx, "GET", headers={"host": "evil.example"}).status_code == 421
        assert [request.headers["host"] for request in origin.received] == ["app.example"]


def test_idle_connections_to_instances_are_kept_and_given_up_first() -> None:
    settings = Settings(limits=False, drain_delay=10.0)
    with origins(OK) as (origin,), balanced([origin.address], settings) as nginx:
        for _ in range(5):
            ask(nginx, "GET")
        assert origin.opened == 1
        eventually(lambda: origin.left == 1)


def _secured(port: int, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname=name)
