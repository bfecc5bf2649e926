"""Realtime as one part of an application: its two addresses, put together."""

from __future__ import annotations

from ramet.identity.verifier import Verifier
from ramet.interfaces.http.cors import Cors
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.realtime.asking import Asking
from ramet.interfaces.realtime.handshake import Handshakes
from ramet.interfaces.realtime.live import LIVE, Live
from ramet.interfaces.realtime.sse import Events
from ramet.interfaces.realtime.streams import Streams
from ramet.interfaces.rest.query import Queries
from ramet.interfaces.rest.routes import EVENTS
from ramet.interfaces.transport.request import Handler
from ramet.limits.addresses import Addresses
from ramet.operations.core import Core
from ramet.operations.handlers import Handlers
from ramet.operations.pipeline import Pipeline


class Realtime:
    """`pages` answers requests by address, `sockets` WebSockets, `streams` is what is open."""

    def __init__(self, core: Core, handlers: Handlers, pipeline: Pipeline, verifier: Verifier) -> None:
        settings = core.settings
        self._hub = handlers.watching.hub
        self._hub.start(verifier.admit)
        self.streams = Streams(core, self._hub)
        self.asking = Asking(core.catalog, Queries(core.cursors, settings.page_limit))
        credentials = Credentials(Cors(settings.cors_origins), settings.public_url)
        addresses = Addresses(settings.trusted_proxies)
        live = Live(pipeline, self.asking, self.streams, settings.subscription_limit)
        self.sockets = Handshakes(pipeline, live, credentials, addresses, self.streams)
        events = Events(pipeline, self.asking, credentials, addresses, self.streams)
        self.pages: dict[str, Handler] = {EVENTS: events, LIVE: self.sockets}

    async def drain(self) -> None:
        """Ends all streams, spread over a while; new ones are refused from now on."""
        await self.streams.drain()

    async def settled(self) -> None:
        """Waits until everything committed by now has been written to whoever watches, as far as they read."""
        streams = self.streams.open()  # some may end meanwhile, and what they end with is told too
        await self._hub.settled()
        await self.streams.settled(streams)

    async def stop(self) -> None:
        """Ends what is left."""
        self.streams.stop()
        await self._hub.stop()
