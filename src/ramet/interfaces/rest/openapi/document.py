"""The whole description of an application's HTTP API."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.identity import cookies
from ramet.interfaces.rest.openapi import parameters, responses
from ramet.interfaces.rest.openapi.batch import batch_operation
from ramet.interfaces.rest.openapi.events import events_operation
from ramet.interfaces.rest.openapi.operations import Operations
from ramet.interfaces.rest.openapi.schemas import JSON_VALUE, Schema, resource_schemas
from ramet.interfaces.rest.openapi.service import service_paths
from ramet.interfaces.rest.routes import BATCH, EVENTS, Routes
from ramet.operations.authority import Authority
from ramet.settings import Settings

_ABOUT = """Records are JSON; moments are UTC. What a caller may not see does not exist for it.

A refusal is `application/problem+json` with a stable `code`; the table of errors lists them all. Bodies, headers,
addresses and lists are bounded. `HEAD` works wherever `GET` does, and `OPTIONS` tells the methods of an address."""


def openapi_document(
    catalog: Catalog, routes: Routes, settings: Settings, authority: Authority, title: str = "API"
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every operation in `routes`, of batches, and of health and metrics."""
    schemas: dict[str, Schema] = {"JsonValue": JSON_VALUE, "Problem": responses.PROBLEM}
    offered = [info for info in catalog if info.operations or info.actions]
    for info in offered:
        schemas.update(resource_schemas(info, catalog))
    operations = Operations(catalog, authority, settings.page_limit, schemas)
    paths: dict[str, dict[str, Any]] = {}
    for target in routes:
        paths.setdefault(target.path, {})[target.method.lower()] = operations.describe(target)
    batch, batch_schemas = batch_operation(routes, settings.batch_limit)
    paths[BATCH] = {"post": batch}
    paths[EVENTS] = {"get": events_operation(catalog)}
    paths.update(service_paths(settings.metrics))
    schemas.update(batch_schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version("ramet"), "description": _ABOUT},
        "servers": [{"url": settings.public_url or "/"}],
        "tags": [*map(_tag, offered), _SERVICE],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "parameters": parameters.HEADERS,
            "headers": responses.HEADERS,
            "responses": responses.shared_problems(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token of a sign-in.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": cookies.ACCESS,
                    "description": "What a sign-in with `cookies` sets in a browser.",
                },
            },
        },
    }


_SERVICE = {"name": "service", "description": "The process itself, and many operations in one request."}


def _tag(info: ResourceInfo) -> dict[str, str]:
    return {"name": info.path, "description": info.doc}
