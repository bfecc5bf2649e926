"""Our own pages are those of the address that users see, wherever below it the application lives."""

from __future__ import annotations

from typing import cast

import pytest

from ramet.interfaces.http.cors import Cors
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.transport.request import Request


class Asked:
    """A request with only what tells whose page sent it."""

    scheme = "http"

    def __init__(self, origin: str) -> None:
        self._headers = {"origin": origin, "host": "10.0.0.1:8000"}

    def header(self, name: str, /) -> str | None:
        return self._headers.get(name)


@pytest.mark.parametrize(
    "public", ["https://app.example.com", "https://app.example.com/", "HTTPS://app.example.com/a/b"]
)
@pytest.mark.parametrize(("origin", "foreign"), [("https://app.example.com", False), ("https://example.com", True)])
def test_pages_of_the_public_address_are_our_own(public: str, origin: str, foreign: bool) -> None:
    assert Credentials(Cors(()), public).cross_site(cast(Request, Asked(origin)), "POST") is foreign
