from __future__ import annotations

import pytest

from ramet.identity.cookies import access_cookie, cleared, cross_site, parse_origin, read, refresh_cookie

A = "__Host-ramet-access"
R = "__Host-ramet-refresh"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (None, None)),
        ("theme=dark; lang=en", (None, None)),
        (f"{A}=aa.bb.cc", ("aa.bb.cc", None)),
        (f"{R}=rt_x-1", (None, "rt_x-1")),
        (f"theme=dark; {A}=a; lang=en; {R}=r", ("a", "r")),
        (f"{R}=r;{A}=a", ("a", "r")),
        (f"  {A}=a \t;  {R}=r  ", ("a", "r")),
        (f"{A}=", (None, None)),
        (f"{A}", (None, None)),
        (f"{A} =a", (None, None)),
        (f"{A}= a", (None, None)),
        (f'{A}="a"', (None, None)),
        (f"{A}=a b", (None, None)),
        (f"{A}=a=b", (None, None)),
        (f"{A}=a%20b", (None, None)),
        (f"{A}=a,b", (None, None)),
        (f"{A}=a\x00", (None, None)),
        (f"{A}=é", (None, None)),
        (f"{A}={'a' * 4096}", ("a" * 4096, None)),
        (f"{A}={'a' * 4097}", (None, None)),
        (f"{A.lower()}=a", (None, None)),
        (f"x{A}=a", (None, None)),
        (f"{A}x=a", (None, None)),
        (f"theme={A}=a", (None, None)),
        (f"={A}=a", (None, None)),
        (f"{A}=a; {A}=b; {R}=r", (None, "r")),
        (f"{A}=a; {A}=a", (None, None)),
        (f"{A}=a; {A}=b; {A}=c", (None, None)),
        (f"{A}=a b; {A}=c", (None, None)),
    ],
)
def test_only_whole_well_formed_single_cookies_are_believed(
    header: str, expected: tuple[str | None, str | None]
) -> None:
    assert read(header) == read(header) == expected
    assert read("; ".join(["theme=" + "x" * 5000, header])) == expected


def test_cookies_are_host_bound_hidden_from_scripts_and_same_site() -> None:
    assert access_cookie("a.b.c", 900.9) == f"{A}=a.b.c; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax"
    assert refresh_cookie("rt_x", 60) == f"{R}=rt_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict"
    assert cleared() == (
        f"{A}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
        f"{R}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
    )
    assert "Max-Age=0;" in access_cookie("a", -5)
    for value in (access_cookie("a", 1), refresh_cookie("a", 1), *cleared()):
        assert "Domain" not in value
        assert "Expires" not in value


def test_what_was_set_is_read_back() -> None:
    pairs = [access_cookie("a.b-c_d", 9).split(";")[0], refresh_cookie("rt_Z", 9).split(";")[0]]
    assert read("; ".join(pairs)) == ("a.b-c_d", "rt_Z")


@pytest.mark.parametrize("token", ["", "a; Domain=evil.test", "a\r\nSet-Cookie: x=y", "a b", "é", "a" * 4097])
def test_nothing_but_a_token_is_ever_set(token: str) -> None:
    with pytest.raises(ValueError, match="tokens only"):
        access_cookie(token, 1)


UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "WEBSOCKET", "post", "TRACE", "")


def decide(
    site: str | None,
    origin: str | None,
    host: str | None = "app.test",
    scheme: str = "https",
    allowed: tuple[str, ...] = (),
) -> bool:
    decisions = {cross_site(method, site, origin, host, scheme, allowed) for method in UNSAFE}
    assert len(decisions) == 1
    for safe in ("GET", "HEAD", "OPTIONS"):
        assert not cross_site(safe, site, origin, host, scheme, allowed)
    return decisions.pop()


@pytest.mark.parametrize(
    ("site", "origin", "refused"),
    [
        ("same-origin", "https://app.test", False),
        ("same-origin", None, False),
        ("none", None, False),
        ("cross-site", "https://evil.test", True),
        ("cross-site", None, True),
        ("cross-site", "https://app.test", True),
        ("same-site", "https://blog.app.test", True),
        ("same-site", None, True),
        ("same-site", "http://app.test", True),
        ("of-the-future", "https://app.test", False),
        ("of-the-future", "https://evil.test", True),
        ("of-the-future", None, True),
        ("", None, True),
        ("Same-Origin", "https://evil.test", True),
        (None, None, True),
        (None, "https://app.test", False),
        (None, "https://APP.test", False),
        (None, "https://app.test:443", False),
        (None, "https://app.test:444", True),
        (None, "http://app.test", True),
        (None, "https://evil.test", True),
        (None, "https://app.test.evil.test", True),
        (None, "https://evil.test/https://app.test", True),
        (None, "https://app.test@evil.test", True),
        (None, "https://app.test, https://app.test", True),
        (None, "null", True),
        (None, "", True),
        (None, "app.test", True),
    ],
)
def test_another_site_cannot_use_the_cookies(site: str | None, origin: str | None, refused: bool) -> None:
    assert decide(site, origin) is refused


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "refused"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "http", False),
        ("http://127.0.0.1:8000", "127.0.0.1:8001", "http", True),
        ("http://localhost:8000", "127.0.0.1:8000", "http", True),
        ("http://[::1]:8000", "[::1]:8000", "http", False),
        ("http://[::1]", "[::1]:80", "http", False),
        ("http://app.test", "app.test:80", "http", False),
        ("https://app.test", "app.test:80", "https", True),
        ("https://app.test", None, "https", True),
        ("https://app.test", "", "https", True),
        ("https://app.test", "app.test/x", "https", True),
        ("https://xn--bcher-kva.test", "xn--bcher-kva.test", "https", False),
    ],
)
def test_the_origin_is_compared_with_the_host_ports_and_all(
    origin: str, host: str | None, scheme: str, refused: bool
) -> None:
    assert decide(None, origin, host, scheme) is refused


def test_only_the_origins_that_were_allowed_may_send_from_elsewhere() -> None:
    allowed = ("https://shop.test", "http://dev.test:3000")
    assert not decide("cross-site", "https://shop.test", allowed=allowed)
    assert not decide("same-site", "https://SHOP.test:443", allowed=allowed)
    assert not decide(None, "http://dev.test:3000", allowed=allowed)
    assert decide("cross-site", "http://shop.test", allowed=allowed)
    assert decide("cross-site", "http://dev.test", allowed=allowed)
    assert decide("cross-site", "null", allowed=allowed)
    assert decide("cross-site", None, allowed=allowed)
    assert decide("cross-site", "https://evil.test", allowed=("*", "null"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTPS://App.Test:443", "https://app.test"),
        ("http://app.test:443", "http://app.test:443"),
        ("http://[2001:DB8::1]:80", "http://[2001:db8::1]"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://app.test/", None),
        ("https://app.test:", None),
        ("https://app.test:https", None),
        ("https://", None),
        ("//app.test", None),
        ("null", None),
        ("*", None),
        ("https://app.test\n", None),
    ],
)
def test_equal_origins_have_equal_text(text: str, expected: str | None) -> None:
    assert parse_origin(text) == expected
