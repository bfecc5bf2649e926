"""Which paths an application can be mounted at."""

from __future__ import annotations

from typing import Any

import pytest

from ramet import App, Resource
from ramet.errors import DeclarationError
from ramet.interfaces.front import OWN
from ramet.interfaces.pages.probes import LIVE, METRICS, READY
from ramet.interfaces.pages.reference import DOCS, OPENAPI
from ramet.interfaces.rest.routes import PREFIX


class Note(Resource):
    text: str


async def site(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("prefix", ["/api", "/api/v1", "/api/v1/notes", "/api/v2", *LIVE, *READY, METRICS, "/welcome"])
def test_a_mount_that_covers_something_of_ramet_is_refused(prefix: str) -> None:
    with pytest.raises(DeclarationError, match=r"^test_mounts\.py: line \d+: App\(mounts=.*Choose another path\.$"):
        App(resources=[Note], mounts={prefix: site})


@pytest.mark.parametrize("prefix", ["/", "", "site", "/site/", "//", "/a//b", "/a/../api", "/./a", "/%61pi", "/a?b", 5])
def test_a_prefix_that_is_no_path_is_refused(prefix: Any) -> None:
    with pytest.raises(DeclarationError, match=r"^test_mounts\.py: line \d+: App\(mounts=.*Mend the path\.$"):
        App(resources=[Note], mounts={prefix: site})


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"^test_mounts\.py: .* no ASGI application"):
        App(resources=[Note], mounts={"/site": 5})


@pytest.mark.parametrize("mounts", [site, ["/site"], 0])
def test_mounts_that_are_not_by_path_are_refused(mounts: Any) -> None:
    with pytest.raises(DeclarationError, match=r"^test_mounts\.py: .*by path, as mounts="):
        App(resources=[Note], mounts=mounts)


@pytest.mark.parametrize("prefix", ["/site", "/site/api", "/apis", "/a.b/c", "/.well-known"])
def test_what_may_be_mounted(prefix: str) -> None:
    App(resources=[Note], mounts={prefix: site})


def test_everything_that_ramet_serves_is_kept_free() -> None:
    for path in (PREFIX, OPENAPI, DOCS, METRICS, *LIVE, *READY):
        assert f"/{path.split('/')[1]}" in OWN
