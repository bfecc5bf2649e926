"""Nothing is allowed to other sites unless their origin is listed, and nothing more than listed."""

from __future__ import annotations

import pytest

from ramet.errors import Problem, SettingsError
from ramet.interfaces.http.cors import REQUEST_HEADERS, RESPONSE_HEADERS, Cors

SHOP = "https://shop.example"


class Asked:
    """A request with only what CORS looks at."""

    flaw: Problem | None = None
    path, query, peer, scheme = "/api/v1/task", "", "127.0.0.1", "http"

    def __init__(self, method: str, **headers: str) -> None:
        self.method = method
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def header(self, name: str, /) -> str | None:
        return self._headers.get(name)

    async def body(self, limit: int) -> bytes:
        return b""


def preflight(origin: str) -> Asked:
    return Asked("OPTIONS", origin=origin, access_control_request_method="PATCH")


def completed(cors: Cors, asked: Asked) -> list[tuple[str, str]]:
    """All headers of the answer to a preflight, as it goes out."""
    answer = cors.preflight(asked, "GET, PATCH")
    assert answer is not None
    cors.complete(answer.headers, asked.header("origin"))
    return answer.headers


def test_it_is_off_unless_origins_are_set() -> None:
    cors = Cors(())
    assert not cors.enabled
    assert cors.headers(SHOP) == []
    assert cors.headers(None) == []
    assert cors.preflight(preflight(SHOP), "GET") is None


def test_a_listed_origin_gets_exactly_these_headers() -> None:
    assert Cors([SHOP]).headers(SHOP) == [
        ("access-control-allow-origin", SHOP),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", ", ".join(RESPONSE_HEADERS)),
        ("vary", "origin"),
    ]


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://evil.example",
        SHOP + ".evil.example",
        "http://shop.example",
        SHOP + ":8443",
        "*",
        SHOP + "/",
    ],
)
def test_any_other_gets_only_that_answers_vary(origin: str | None) -> None:
    assert Cors([SHOP]).headers(origin) == [("vary", "origin")]


def test_the_star_never_comes_with_credentials() -> None:
    cors = Cors(["*"])
    assert cors.headers(SHOP) == [
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", ", ".join(RESPONSE_HEADERS)),
    ]
    assert cors.headers(None) == []
    headers = completed(cors, preflight(SHOP))
    assert "access-control-allow-credentials" not in dict(headers)
    assert dict(headers)["access-control-allow-origin"] == "*"
    assert len(headers) == len(dict(headers))


def test_a_preflight_of_a_listed_origin_is_answered_with_exactly_these_headers() -> None:
    answer = Cors([SHOP]).preflight(preflight(SHOP), "GET, PATCH")
    assert answer is not None
    assert (answer.status, answer.body) == (204, b"")
    assert completed(Cors([SHOP]), preflight(SHOP)) == [
        ("access-control-allow-methods", "GET, PATCH"),
        ("access-control-allow-headers", ", ".join(REQUEST_HEADERS)),
        ("access-control-max-age", "600"),
        ("vary", "access-control-request-method, access-control-request-headers, origin"),
        ("access-control-allow-origin", SHOP),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", ", ".join(RESPONSE_HEADERS)),
    ]


def test_a_preflight_of_any_other_allows_nothing() -> None:
    headers = completed(Cors([SHOP]), preflight("https://evil.example"))
    assert headers == [("vary", "access-control-request-method, access-control-request-headers, origin")]


@pytest.mark.parametrize("before", [[], [("vary", "cookie")], [("x", "y"), ("vary", "cookie"), ("a", "b")]])
@pytest.mark.parametrize("origin", [None, SHOP, "https://evil.example"])
def test_an_answer_has_one_line_of_what_it_varies_by(origin: str | None, before: list[tuple[str, str]]) -> None:
    headers = list(before)
    Cors([SHOP]).complete(headers, origin)
    assert [value for name, value in headers if name == "vary"] == ["cookie, origin" if before else "origin"]
    assert [name for name, _ in headers[: len(before)]] == [name for name, _ in before]


@pytest.mark.parametrize(
    "asked",
    [
        Asked("OPTIONS"),
        Asked("OPTIONS", origin=SHOP),
        Asked("OPTIONS", access_control_request_method="GET"),
        Asked("GET", origin=SHOP, access_control_request_method="GET"),
    ],
)
def test_what_is_no_preflight_goes_on(asked: Asked) -> None:
    assert Cors([SHOP]).preflight(asked, "GET") is None


def test_origins_are_taken_as_people_write_them() -> None:
    assert Cors(["HTTPS://Shop.example/"]).origins == {SHOP}
    assert Cors(["http://localhost:5173", "capacitor://localhost"]).allows("http://localhost:5173")


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/app", "https://*.example", "null", "https://", "", "https://a b"]
)
def test_what_is_no_origin_is_refused_at_start(origin: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Cors([origin])
    assert "RAMET_CORS_ORIGINS" in str(refused.value)


def test_the_star_stands_alone() -> None:
    with pytest.raises(SettingsError):
        Cors(["*", SHOP])
