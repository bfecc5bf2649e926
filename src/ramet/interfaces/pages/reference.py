"""The description of the API at /api/openapi.json, and the page at /api/docs that shows it without anybody's help."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ramet.interfaces.pages.assets import HTML, PAGE_HEADERS, Content, Page, asset, assets

OPENAPI = "/api/openapi.json"
DOCS = "/api/docs"
_FOLDER = "reference_assets"


def reference(document: Callable[[], dict[str, Any]]) -> dict[str, Page]:
    """The pages by address; `document` makes the OpenAPI document, once, when somebody first asks for it."""
    return {
        OPENAPI: Content(lambda: msgspec.json.encode(document()), "application/json", []),
        DOCS: Content(partial(asset, _FOLDER, "index.html"), HTML, PAGE_HEADERS),
        **assets(_FOLDER, DOCS),
    }
