"""Serving what a page is made of: bodies with a tag of their content, in every coding, and packaged files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import blake2b
from importlib.resources import files

from ramet.interfaces.http.compression import MIN_SIZE, compress
from ramet.interfaces.http.conditional import not_modified, with_encoding
from ramet.interfaces.http.negotiation import choose_encoding
from ramet.interfaces.transport.request import Request, Response

Page = Callable[[Request], Awaitable[Response]]

HTML = "text/html; charset=utf-8"
PAGE_HEADERS = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
]
"""What keeps a page to its own files: no inline code, no other host, no frame."""
_KINDS = {
    "html": HTML,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOLDER = files("ramet.interfaces.pages")


class Content:
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


def asset(folder: str, name: str) -> bytes:
    """A file of a folder beside this module."""
    return _FOLDER.joinpath(folder, name).read_bytes()


def assets(folder: str, prefix: str) -> dict[str, Page]:
    """All files of a folder beside this module, but its index.html, by their addresses below `prefix`."""
    names = sorted(item.name for item in _FOLDER.joinpath(folder).iterdir() if item.is_file())
    return {
        f"{prefix}/{name}": Content(partial(asset, folder, name), _KINDS[name.rpartition(".")[2]], [])
        for name in names
        if name != "index.html"
    }
