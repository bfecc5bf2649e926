"""The description of the API at /api/openapi.json, and the page at /api/docs that shows it without anybody's help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

import msgspec

from ramet.interfaces.http.compression import MIN_SIZE, compress
from ramet.interfaces.http.conditional import not_modified, with_encoding
from ramet.interfaces.http.negotiation import choose_encoding
from ramet.interfaces.transport.request import Request, Response

Page = Callable[[Request], Awaitable[Response]]

OPENAPI = "/api/openapi.json"
DOCS = "/api/docs"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = [
    ("content-security-policy", _POLICY),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
]
_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOLDER = files("ramet.interfaces.pages").joinpath("reference_assets")


class _Content:
    """A body that is made when it is first asked for, then kept with its tag and its coded forms."""

    def __init__(self, make: Callable[[], bytes], kind: str, also: list[tuple[str, str]]) -> None:
        self._make = make
        self._headers = [
            ("content-type", kind),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
            ("vary", "accept-encoding"),
            *also,
        ]
        self._body = b""
        self._etag = ""
        self._coded: dict[str, bytes] = {}

    async def __call__(self, request: Request) -> Response:
        if not self._etag:
            self._body = self._make()
            self._etag = f'"{blake2b(self._body, digest_size=9).hexdigest()}"'
        encoding = choose_encoding(request.header("accept-encoding"), small=len(self._body) < MIN_SIZE)
        headers = [*self._headers, ("etag", with_encoding(self._etag, encoding))]
        if not_modified(request.header("if-none-match"), self._etag):
            return Response(304, headers)
        if not encoding:
            return Response(200, headers, self._body)
        coded = self._coded.get(encoding)
        if coded is None:
            coded = self._coded[encoding] = compress(self._body, encoding, cached=True)
        return Response(200, [*headers, ("content-encoding", encoding)], coded)


def reference(document: Callable[[], dict[str, Any]]) -> dict[str, Page]:
    """The pages by address; `document` makes the OpenAPI document, once, when somebody first asks for it."""
    pages: dict[str, Page] = {
        OPENAPI: _Content(lambda: msgspec.json.encode(document()), "application/json", []),
        DOCS: _Content(lambda: _asset("index.html"), _KINDS["html"], _SAFE),
    }
    for name in _names():
        kind = _KINDS[name.rpartition(".")[2]]
        pages[f"{DOCS}/{name}"] = _Content(lambda name=name: _asset(name), kind, [])  # type: ignore[misc]  # bound now
    return pages


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    return tuple(sorted(item.name for item in _FOLDER.iterdir() if item.is_file() and item.name != "index.html"))


def _asset(name: str) -> bytes:
    return _FOLDER.joinpath(name).read_bytes()
