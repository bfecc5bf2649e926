"""Browser sessions: the two cookies, and refusing requests that another site makes a browser send.

The `__Host-` prefix makes the browser itself insist on Secure, Path=/ and no Domain, so that no other host, not even a
subdomain, can set them. Browsers treat http://localhost and http://127.0.0.1 as secure enough for it (Safari does not).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

ACCESS = "__Host-ramet-access"
REFRESH = "__Host-ramet-refresh"

POSITION = "__Host-ramet-position"
POSITION_AGE = 60
"""Seconds after which every copy has come to a position, or is not used."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_PREFIX = "__Host-ramet-"
# Cookies are parted by semicolons alone: quotes do not protect one (RFC 6265), so none can hide in another's value.
_OURS = re.compile(r"(?:^|;)[ \t]*__Host-ramet-(access|refresh)=([^;]*)")
_POSITION = re.compile(r"(?:^|;)[ \t]*__Host-ramet-position=([0-9a-z-]{1,40})[ \t]*(?:;|$)")
_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,4096}")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\]+)(?::([0-9]{1,5}))?")
_REMEMBERED = 4096
_PORTS = {"http": "80", "https": "443"}


def read(header: str) -> tuple[str | None, str | None]:
    """The access and the refresh token of a Cookie header; several such headers are to be joined with "; ".

    A cookie with a value that we never set, or that is there twice, is not believed: None.
    """
    if _PREFIX not in header:
        return None, None
    return _remembered(header) if len(header) <= _REMEMBERED else _read(header)


def _read(header: str) -> tuple[str | None, str | None]:
    found: dict[str, str | None] = {}
    for name, raw in _OURS.findall(header):
        value = raw.rstrip(" \t")
        found[name] = value if name not in found and _VALUE.fullmatch(value) else None
    return found.get("access"), found.get("refresh")


# A browser sends the same header with every request, and reading one takes ten times as long as finding it here.
_remembered = functools.lru_cache(maxsize=512)(_read)


def access_cookie(token: str, max_age: float) -> str:
    """The Set-Cookie value for an access token that lives `max_age` seconds. Lax: who follows a link is signed in."""
    return _cookie(ACCESS, token, max_age, "Lax")


def refresh_cookie(token: str, max_age: float) -> str:
    """The Set-Cookie value for a refresh token. Strict: only our own pages refresh."""
    return _cookie(REFRESH, token, max_age, "Strict")


def read_position(header: str) -> str:
    """The position of the browser's last change in a Cookie header; empty without one."""
    match = _POSITION.search(header)
    return match[1] if match else ""


def position_cookie(position: str) -> str:
    """The Set-Cookie value by which a browser finds its own changes again, whichever instance it asks."""
    return _cookie(POSITION, position, POSITION_AGE, "Lax")


def cleared() -> tuple[str, str]:
    """The two Set-Cookie values that sign a browser out."""
    return _set(ACCESS, "", 0, "Lax"), _set(REFRESH, "", 0, "Strict")


def _cookie(name: str, token: str, max_age: float, same_site: str) -> str:
    if _VALUE.fullmatch(token) is None:
        raise ValueError(f"{name} holds tokens only, of at most 4096 characters.")
    return _set(name, token, max(0, int(max_age)), same_site)


def _set(name: str, value: str, max_age: int, same_site: str) -> str:
    return f"{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite={same_site}"


def cross_site(
    method: str,
    sec_fetch_site: str | None,
    origin: str | None,
    host: str | None,
    scheme: str,
    allowed_origins: Collection[str] = (),
) -> bool:
    """Whether to refuse a request that a cookie authenticates, because another site may have made the browser send it.

    Headers as received, None when absent; `scheme` is the one the browser used; `allowed_origins` in the form of
    `parse_origin`. Every method but GET, HEAD and OPTIONS counts as unsafe, so a WebSocket handshake, which no
    same-origin policy guards, is asked about under another name than GET.

    The order is that of OWASP's CSRF sheet and of Go's CrossOriginProtection: an allowed Origin passes;
    `Sec-Fetch-Site` decides where the browser sent it (`same-site` is refused too: a neighbouring subdomain is not us);
    values it does not define are ignored; else Origin must be our own. With neither header it is refused, as OWASP
    recommends: every browser sends one of them, and other clients can use a bearer token.
    """
    if method in SAFE_METHODS:
        return False
    sender = None if origin is None else parse_origin(origin)
    if sender is not None and sender in allowed_origins:
        return False
    if sec_fetch_site in ("same-origin", "none"):
        return False
    if sec_fetch_site in ("same-site", "cross-site"):
        return True
    return sender is None or host is None or sender != parse_origin(f"{scheme}://{host}")


def parse_origin(text: str) -> str | None:
    """An origin in lower case without its default port, so that equal ones are equal text; None if it is not one."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port is None or port == _PORTS.get(scheme) else f"{scheme}://{host}:{port}"
