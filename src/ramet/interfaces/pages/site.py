"""All pages of a running application by address: for people, for programs that look after it, and its reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ramet.declare.demo import SignIn
from ramet.interfaces.pages.probes import Live, Page, Ready, Scrape, probes
from ramet.interfaces.pages.reference import reference
from ramet.interfaces.pages.welcome import title_of, welcome
from ramet.interfaces.rest.openapi.document import openapi_document
from ramet.interfaces.rest.routes import Routes
from ramet.operations.core import Core


class Health(Protocol):
    """Who tells of the process."""

    @property
    def live(self) -> Live: ...
    @property
    def ready(self) -> Ready: ...


class Exporter(Protocol):
    """Who gives metrics."""

    @property
    def scrape(self) -> Scrape: ...


class Watched(Protocol):
    """What looks after the application."""

    @property
    def health(self) -> Health: ...
    @property
    def exporter(self) -> Exporter: ...


def pages_of(
    core: Core, routes: Routes, sign_in: SignIn | None, watch: Watched, others: Mapping[str, Page]
) -> dict[str, Page]:
    """`sign_in` is shown on the first page; metrics are given if the settings allow it; `others` are added."""
    settings, catalog = core.settings, core.catalog
    title, _ = title_of(catalog)
    return {
        **welcome(catalog, settings, sign_in),
        **probes(watch.health.live, watch.health.ready, watch.exporter.scrape if settings.metrics else None),
        **reference(lambda: openapi_document(catalog, routes, settings, core.authority, title)),
        **others,
    }
