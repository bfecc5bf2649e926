"""All pages of a running application by address: for people, for programs that look after it, and its reference."""

from __future__ import annotations

from ramet.declare.demo import SignIn
from ramet.interfaces.pages.probes import Live, Page, Ready, Scrape, probes
from ramet.interfaces.pages.reference import reference
from ramet.interfaces.pages.welcome import title_of, welcome
from ramet.interfaces.rest.openapi.document import openapi_document
from ramet.interfaces.rest.routes import Routes
from ramet.operations.core import Core


def pages_of(
    core: Core, routes: Routes, sign_in: SignIn | None, live: Live, ready: Ready, scrape: Scrape
) -> dict[str, Page]:
    """`sign_in` is shown on the first page; `scrape` gives metrics, if the settings allow it."""
    settings, catalog = core.settings, core.catalog
    title, _ = title_of(catalog)
    return {
        **welcome(catalog, settings, sign_in),
        **probes(live, ready, scrape if settings.metrics else None),
        **reference(lambda: openapi_document(catalog, routes, settings, core.authority, title)),
    }
