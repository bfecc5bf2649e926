"""The composition: a declaration and settings become a running application. A table of contents, no logic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramet.cache.near import NearCache
from ramet.data.engines import engine_for, open_store, prepare_schema
from ramet.declare.catalog import Catalog, listed
from ramet.declare.demo import Demo
from ramet.declare.resource import Resource
from ramet.identity.caller import system
from ramet.identity.keys import derive, new_root, read_root
from ramet.identity.service import RESOURCES, Identity
from ramet.identity.users import User
from ramet.interfaces.front import Mounts, answer, rest_of
from ramet.interfaces.pages.site import pages_of
from ramet.interfaces.pages.waiting import Waiting
from ramet.interfaces.realtime.realtime import Realtime
from ramet.interfaces.rest.routes import Routes
from ramet.interfaces.transport.asgi import AsgiApp, relative_path
from ramet.limits.limiter import Limiter
from ramet.limits.overload import InFlight, LoopLag
from ramet.observe import Observer
from ramet.operate.demo import ready_sign_in
from ramet.operate.parts import checks, copies, figures
from ramet.operate.watch import Watch
from ramet.operations.context import Context
from ramet.operations.core import Core
from ramet.operations.cursors import Cursors
from ramet.operations.handlers import Handlers
from ramet.operations.housekeeping import Housekeeping
from ramet.operations.layout import lay_out
from ramet.operations.outbox import Outbox
from ramet.operations.pipeline import Pipeline
from ramet.operations.recall import Recall
from ramet.operations.sharing import Sharing
from ramet.settings import Settings


class App:
    """An application: its resources, objects that actions may ask for by type (`parts`), and its demo data.

    `mounts` are ASGI applications by the path below which they live.
    `demo` fills an empty database for `ramet serve --demo`; what it returns, such as a ready sign-in, is shown.
    `clock` gives microseconds since 1970.
    Raises DeclarationError, naming file, class and field, when a declaration is wrong.
    """

    def __init__(
        self,
        *,
        resources: Sequence[type[Resource]],
        parts: Sequence[Any] = (),
        mounts: Mapping[str, Any] | None = None,
        demo: Demo | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.demo, self.clock = demo, clock
        self.catalog = Catalog((*RESOURCES, *listed("resources", resources)))
        self.engine, self.schema, self.authority = lay_out(self.catalog, Settings().database_url)
        self.observer = Observer()
        self.draining = self._running = False
        self._parts = listed("parts", parts)
        self._mounts = Mounts({} if mounts is None else mounts)
        self._rest: Any = None
        self._sockets: Any = None
        self._waiting = Waiting(self.open)
        self._asgi = AsgiApp(lambda it: answer(self._rest, it), self.startup, self.shutdown, lambda: self._sockets.asgi)
        self._settings: Settings | None = None
        self._lag = LoopLag()

    def configure(self, settings: Settings) -> None:
        """Sets what `startup` will use; without it the environment decides."""
        self._settings = settings
        self._fit(settings)

    def prepare(self, settings: Settings, revision: str = "") -> bool:
        """Whether a server may start as far as the schema goes: one that only waits for a migration may always."""
        return not engine_for(settings.database_url).migrates_at_start or self.has_schema(settings, revision)

    def has_schema(self, settings: Settings, revision: str = "") -> bool:
        """Whether the database has the declared schema and, if given, `revision`; a new embedded one is given both."""
        self._fit(settings)
        return prepare_schema(settings.database_url, self.schema, self.catalog, revision)

    def as_system(self) -> Context:
        """For command lines and demo data: a context for which no rule holds. The application must be started."""
        return Context(self.core, self.handlers.writing, system())

    async def create_user(self, email: str, password: str, roles: Sequence[str] = (), name: str = "") -> User:
        """Makes a user, who may then sign in. Raises Problem `invalid_input` or `not_unique`."""
        return await self.identity.create_user(email, password, roles, name)

    async def startup(self) -> None:
        """Opens the application; where its database cannot be used yet, says so to callers until it can."""
        if not self._running:
            self._rest = self._sockets = self._waiting
            await self._waiting.start()

    async def open(self) -> None:
        """Opens the database and puts the parts together. Raises Unready when it has not the declared schema."""
        settings = self.settings = self._settings or Settings.read()
        self._fit(settings)
        self.store = open_store(settings, self.schema, self.catalog, self.observer, self.clock)
        await self.store.start()
        self._begun: list[Any] = [self.store]
        try:
            await self._assemble(settings, self.observer)
        except BaseException:
            for part in (self._mounts, *reversed(self._begun)):
                await part.stop()
            raise

    async def _assemble(self, settings: Settings, observer: Observer) -> None:
        self.feed = self.store.feed
        self.near = NearCache(settings.cache_size, time.monotonic)
        root = read_root(settings.secret or await self.store.fact("root_secret", new_root))
        sharing = self.sharing = Sharing(settings, self.store, self.catalog, root, observer)
        limiter = Limiter(settings, sharing.counters, time.monotonic_ns, observer)
        self.identity = Identity(settings, root, limiter, observer, self.clock)
        self.identity.follow(self.feed)
        self._begun += [sharing, self.feed, self.identity]
        await self.feed.start()
        await sharing.start()
        self.core = Core(
            catalog=self.catalog,
            schema=self.schema,
            engine=self.engine,
            store=self.store,
            near=self.near,
            sharing=sharing,
            authority=self.authority,
            cursors=Cursors(derive(root, "cursors")),
            settings=settings,
            observer=observer,
            now=self.clock,
            parts=(*self.identity.parts, *self._parts),
        )
        handlers = self.handlers = Handlers(self.core)
        pipeline = Pipeline(self.feed, self.identity.verifier, limiter, handlers)
        recall = Recall(self.feed, self.identity.verifier, limiter, self.near, handlers, self.store)
        realtime = self.realtime = Realtime(self.core, handlers, pipeline, self.identity.verifier)
        routes = Routes(self.catalog)
        in_flight = InFlight(settings.in_flight_limit, observer, self._lag)
        self.watch = Watch(settings, observer, [target.name for target in routes])
        self._begun.insert(0, self.watch)  # hears of the others' end
        self.watch.add(figures(self.core, in_flight, realtime.streams), checks(self.core), copies(self.core))
        sign_in = await ready_sign_in(self.store) if settings.demo else None
        pages = pages_of(self.core, routes, sign_in, self.watch, realtime.pages)
        rest = rest_of(self.core, handlers, pipeline, routes, in_flight, recall, pages)
        await self.identity.start(self.as_system(), self.store.lead)
        await self._mounts.startup()
        self._outbox = Outbox(self.core, handlers.writing)
        self._chores = Housekeeping(self.core)
        await self.watch.start()
        self._lag.start(asyncio.get_running_loop())
        self.feed.follow(settings.follow_interval)
        self._outbox.start()
        self._chores.start()
        self._rest, self._sockets, self._running = rest, realtime.sockets, True
        if self.draining:  # told to stop before it could begin
            await self.drain()

    async def drain(self) -> None:
        """Ends streams; for a process that is told to stop and still answers requests."""
        self.draining = True
        if self._running:
            self.watch.health.drain()
            await self.realtime.drain()

    async def shutdown(self) -> None:
        """Finishes accepted writes and closes everything."""
        await self._waiting.stop()
        running, self._running, self.draining = self._running, False, False
        if not running:
            return
        for part in (self._mounts, self.realtime, self._outbox, self._chores, *reversed(self._begun)):
            await part.stop()
        self._lag.stop()

    def begin(self, scope: Any, protocol: Any) -> Any:
        """Answers a request that came over RSGI and gives None, or gives what is left of it to await."""
        return self._mounts.rsgi(self._rest, scope, protocol)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if (left := self.begin(scope, protocol)) is not None:
            await left

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        mount = None if scope["type"] == "lifespan" else self._mounts.find(relative_path(scope))
        await (self._asgi if mount is None else mount.asgi)(scope, receive, send)

    def _fit(self, settings: Settings) -> None:
        if engine_for(settings.database_url) is not self.engine:
            self.engine, self.schema, self.authority = lay_out(self.catalog, settings.database_url)
