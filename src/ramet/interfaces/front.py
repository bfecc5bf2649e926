"""The front of a running application: REST and pages, and below their own paths the applications it mounts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ramet.declare.source import misused
from ramet.interfaces.http.cors import Cors
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.pages.probes import VITAL
from ramet.interfaces.rest.account import Accounts
from ramet.interfaces.rest.answers import Answers
from ramet.interfaces.rest.entry import Plain, Rest
from ramet.interfaces.rest.query import Queries
from ramet.interfaces.rest.repeats import Repeats
from ramet.interfaces.rest.routes import Routes
from ramet.interfaces.transport.asgi import AsgiApplication
from ramet.interfaces.transport.mount import Mount
from ramet.interfaces.transport.request import Request, Response
from ramet.interfaces.transport.rsgi import Left, begin_rsgi
from ramet.limits.addresses import Addresses
from ramet.limits.overload import InFlight
from ramet.operations.batching import Batching
from ramet.operations.core import Core
from ramet.operations.handlers import Handlers
from ramet.operations.pipeline import Pipeline
from ramet.operations.recall import Recall


def rest_of(
    core: Core,
    handlers: Handlers,
    pipeline: Pipeline,
    routes: Routes,
    in_flight: InFlight,
    recall: Recall,
    pages: Mapping[str, Plain],
) -> Rest:
    """The handler of all requests that no mounted application takes."""
    settings = core.settings
    cors, answers = Cors(settings.cors_origins), Answers(core.near, trailing=not core.feed.exact)
    accounts = Accounts(Addresses(settings.trusted_proxies), cors, core.observer)
    return Rest(
        routes=routes,
        pipeline=pipeline,
        batching=Batching(core, pipeline, handlers),
        queries=Queries(core.cursors, settings.page_limit),
        answers=answers,
        cors=cors,
        credentials=Credentials(cors, settings.public_url),
        accounts=accounts,
        repeats=Repeats(recall, answers, accounts, in_flight, settings.body_limit),
        in_flight=in_flight,
        settings=settings,
        plain=dict(pages),
        vital=VITAL,
    )


async def answer(rest: Any, request: Request) -> Response:
    """What whoever answers at present gives: in this turn, if it can."""
    return rest.at_once(request) or await rest(request)  # type: ignore[no-any-return]  # there are several kinds


OWN = ("/api", "/health", "/ready", "/metrics", "/welcome")
"""Paths below which everything is Ramet's own."""
_PREFIX = re.compile(r"(/(?!\.{1,2}(?:/|$))[^/?#%\s]+)+")


class Mounts:
    """The mounted applications by path; the longest path wins.

    Raises DeclarationError for a prefix that is no path, or that would cover something of Ramet's.
    """

    def __init__(self, apps: Mapping[str, AsgiApplication]) -> None:
        _check(apps)
        self._mounts: Sequence[Mount] = [Mount(prefix, apps[prefix]) for prefix in sorted(apps, key=len, reverse=True)]

    def find(self, path: str) -> Mount | None:
        for mount in self._mounts:
            if mount.matches(path):
                return mount
        return None

    async def startup(self) -> None:
        for mount in self._mounts:
            await mount.startup()

    async def stop(self) -> None:
        for mount in self._mounts:
            await mount.shutdown()

    def rsgi(self, rest: Rest, scope: Any, protocol: Any) -> Left | None:
        """Passes a request, which may ask for a WebSocket, to whoever has its path.

        None when it is answered already; else what is left to await.
        """
        mount = self.find(scope.path) if self._mounts else None
        if mount is not None:
            return mount.rsgi(scope, protocol)
        return begin_rsgi(rest, scope, protocol)


def _check(apps: Any) -> None:
    if not isinstance(apps, Mapping):
        raise misused(f"App(mounts={apps!r}): give applications by path, as mounts={{'/site': site}}.")
    for prefix, app in apps.items():
        place = f"App(mounts={{{prefix!r}: …}})"
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise misused(f"{place}: a path starts with '/' and does not end with it, as '/site'. Mend the path.")
        if f"/{prefix.split('/')[1]}" in OWN:
            raise misused(f"{place}: {', '.join(OWN)} and what is below are Ramet's own. Choose another path.")
        if not callable(app):
            raise misused(f"{place}: {app!r} is no ASGI application. Give one, such as Starlette().")
